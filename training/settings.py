"""Every setting of a training run, declared once: the command's flags, the nodes' widgets, the TOML
file and the help are made from these dataclasses and from nothing else. Each is a section.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..ground.parameters import setting
from .data.file_names import typed

MANY = 100_000_000
"""More steps, pictures or seconds than any run has."""


@dataclass(frozen=True)
class BaseSettings:
    """The locked model."""

    path: str = setting(
        "",
        "The model to train on, which stays as it is: a diffusers folder, a single file of the "
        "Stable Diffusion 1.x, 2.x or SDXL family, or demo for the small demo model.",
    )
    text_encoder: str = setting(
        "", "Text encoder for a base that has none: a folder or a file. Empty: the base's own."
    )
    vae: str = setting("", "VAE for a base that has none. Empty: the base's own.")
    device: str = setting(
        "auto",
        "Where to train: auto is a GPU if there is one.",
        choices=("auto", "cpu"),
    )


@dataclass(frozen=True)
class DataSettings:
    """Where the data is, what its hints are, and how pictures and hints are cut to size."""

    path: str = setting(
        "",
        "A folder, or the name of a data set on the Hugging Face hub such as fusing/fill50k. Tar "
        "files may be named by a pattern.",
    )
    layout: str = setting(
        "auto",
        "fill50k: prompt.json with source, target and prompt. captions: pictures with a .txt of "
        "the same name. imagefolder: metadata.jsonl or .csv. dataset: what the library datasets "
        "reads. shards: tar files as webdataset lays them out. auto looks which it is.",
        choices=("auto", "fill50k", "captions", "imagefolder", "dataset", "shards"),
    )
    split: str = setting("train", "The split of a data set that has several.")
    image_column: str = setting("", "The pictures' column; empty finds image, target, ...")
    hint_column: str = setting("", "The hints' column; empty finds conditioning_image, source, ...")
    caption_column: str = setting("", "The captions' column; empty finds text, prompt, caption.")
    hint_folder: str = setting(
        "",
        "For the layout captions: a folder of hints that have the pictures' names. Empty looks for "
        "hints/, conditioning_images/, and photo_hint.png beside photo.png.",
    )
    condition: str = setting(
        "",
        "What the hints show, as the name of a preprocessor such as canny or pose. It decides how "
        "hints are made, resized and mirrored; empty takes them for plain pictures.",
    )
    hints: str = setting(
        "auto",
        "given: hints are used as they are. made: the condition's preprocessor makes them of the "
        "pictures, or of the hint files where it takes depth, labels, poses or masks. auto: given "
        "where there are any.",
        choices=("auto", "given", "made"),
    )
    hint_settings: str = setting(
        "",
        "Settings of the condition's preprocessor, such as low_threshold=50,high_threshold=150.",
    )
    resolution: str = setting(
        "512", "Size of the training pictures in pixels, such as 512 or 768x512 (width x height)."
    )
    crop: str = setting(
        "center",
        "Which part is seen of a picture of another shape: its middle, or another one each time.",
        choices=("center", "random"),
    )
    flip: float = setting(
        0.0,
        "Share of pictures that are mirrored together with their hints, drawn anew each time; 0.5 "
        "is usual. Left and right of poses and normals change places where condition names them.",
        step=0.05,
    )
    bad_rows: str = setting(
        "stop",
        "What becomes of rows that cannot be used: stop names them and ends, skip names them and "
        "goes on without.",
        choices=("stop", "skip"),
    )
    max_rows: int = setting(0, "Use the first so many rows; 0 uses all.", high=MANY)
    cache: str = setting(
        "",
        "A folder that keeps encoded pictures, prompts and made hints, so that each is computed "
        "once. Empty keeps none.",
    )
    outside: bool = setting(
        False,
        "Take files that the data's tables name outside of their own folder: by absolute names, "
        "by '..' and by links.",
    )
    resize_hints: bool = setting(
        False,
        "Resize hints of another size to that of their picture, where both have one shape; "
        "otherwise they are refused.",
    )
    buckets: bool = setting(
        False,
        "Bring each picture to the one of several sizes of about the resolution's area that is "
        "nearest to its shape, instead of cutting all to one; the pictures of a batch have one.",
    )


@dataclass(frozen=True)
class NetSettings:
    """What the trained network is: `trainable.control_net_from` makes it."""

    kind: str = setting(
        "controlnet",
        "controlnet: a copy of the encoder behind zero convolutions. gaussian: the same with "
        "ordinary convolutions. lite: one light convolution a block, nothing copied. control_lora: "
        "the base's own encoder, changed by factors of low rank: a small file, less memory.",
        choices=("controlnet", "gaussian", "lite", "control_lora"),
    )
    hint_channels: str = setting(
        "16,32,96,256",
        "Channels of the hint encoder's four layers. Smaller ones are faster on small pictures.",
    )
    hint_gain: float = setting(
        1.0,
        "Factor on the hint encoder's fresh weights. 2.5 keeps the strength of thin lines, which "
        "are otherwise noticed late.",
        low=0.1,
        high=10.0,
        step=0.1,
    )
    rank: int = setting(
        64,
        "Of a control_lora alone: the rank of what changes each layer of the encoder. A higher one "
        "can learn more, in a larger file.",
        low=1,
        high=4096,
    )


@dataclass(frozen=True)
class NetworkSettings(NetSettings):
    """The network, and what it starts from."""

    start_from: str = setting(
        "",
        "An existing ControlNet to go on from, a diffusers folder or a single file. Empty: a new "
        "one is made of the base.",
    )
    transfer_from: str = setting(
        "",
        "The base model that start_from was trained on, to move it to the new base: each weight "
        "becomes control + new base - old base.",
    )


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained. The defaults are the paper's where it says (arXiv 2302.05543)."""

    steps: int = setting(10_000, "Steps of the optimiser.", low=1, high=MANY)
    batch: int = setting(4, "Pictures that one process computes at once.", low=1, high=65_536)
    accumulate: int = setting(
        1,
        "Batches whose gradients are added before a step: a larger batch on the same memory.",
        low=1,
        high=65_536,
    )
    rate: float = setting(1e-5, "Learning rate.", low=0.0, high=1e6, step=1e-6)
    new_rate: float = setting(
        0.0,
        "Learning rate of what starts from nothing: zero convolutions and hint encoder. 0 takes "
        "the learning rate.",
        low=0.0,
        high=1e6,
        step=1e-6,
    )
    schedule: str = setting(
        "constant_with_warmup",
        "How the learning rate goes on after the warm-up.",
        choices=("constant", "constant_with_warmup", "linear", "cosine", "polynomial"),
    )
    warmup: int = setting(500, "Steps over which the learning rate rises from 0.", high=MANY)
    optimizer: str = setting(
        "adamw",
        "adamw, or adamw8bit, whose state takes a quarter of the memory (needs bitsandbytes).",
        choices=("adamw", "adamw8bit"),
    )
    weight_decay: float = setting(0.01, "AdamW's weight decay.", high=10.0, step=0.001)
    max_grad_norm: float = setting(
        1.0, "Largest norm of the gradient; longer ones are scaled down. 0 is off.", high=1e6
    )
    ema: float = setting(
        0.0,
        "Decay of a moving average of the weights, which is then what is kept, such as 0.999. "
        "0 is off.",
        high=0.99999,
        step=0.00001,
    )
    precision: str = setting(
        "fp32",
        "Numbers that the networks compute in; the weights are kept in fp32.",
        choices=("fp32", "bf16", "fp16"),
    )
    gradient_checkpointing: bool = setting(
        False, "Compute activations twice instead of keeping them: less memory, slower."
    )
    prompt_dropout: float = setting(
        0.5,
        "Share of prompts replaced by the empty one, drawn anew at each step: the hint alone has "
        "to tell what there is.",
        high=1.0,
        step=0.05,
    )
    min_snr: float = setting(
        0.0, "Min-SNR weighting of the loss; 5 is usual, 0 is off.", high=1000.0, step=0.5
    )
    offset_noise: float = setting(
        0.0,
        "Noise of one value a channel added to the noise, so that overall brightness is learnt.",
        high=1.0,
        step=0.05,
    )
    timesteps: str = setting(
        "uniform",
        "How noise levels are drawn: each by itself, or stratified: one from each slice of the "
        "range, for a calmer loss.",
        choices=("uniform", "stratified"),
    )
    only_middle: bool = setting(
        False,
        "Train the connection to the middle block alone; the skips get no control, not even that "
        "of a network to start from.",
    )
    unlock_decoder: bool = setting(
        False,
        "Train the base model's decoder, too. What comes out then needs its own base model.",
    )
    seed: int = setting(0, "Decides order, noise, dropout and fresh weights.", high=2**63 - 1)
    log_every: int = setting(10, "Steps between two points of the loss curve.", low=1, high=MANY)
    save_every: int = setting(
        500, "Steps between two checkpoints; the last step always has one.", low=1, high=MANY
    )
    keep: int = setting(3, "Checkpoints to keep, the newest.", low=1, high=10_000)
    validate_every: int = setting(
        0, "Steps between two validation sheets with their fidelity; 0 is off.", high=MANY
    )
    workers: int = setting(0, "Processes that read pictures beside the training.", high=256)
    stop_when: int = setting(
        0,
        "Validations in a row without a higher gain after which the training is done; it counts "
        "once control has come (a gain over 0.01). 0 goes on to the last step.",
        high=10_000,
    )
    save_best: bool = setting(
        False, "Keep the network of the validation with the highest gain, as best."
    )
    compile: bool = setting(
        False,
        "Have torch compile the networks of a step: meant for GPUs, minutes before the first one. "
        "On a CPU it gained nothing. Needs a C++ compiler, on a GPU triton as well.",
    )


@dataclass(frozen=True)
class ValidationSettings:
    """What the network is tried on while it learns. The seed is the same every time, so that what
    changes from sheet to sheet is the network.
    """

    count: int = setting(
        4,
        "Pictures on a sheet. Where they are rows of the data, these are held out of training.",
        low=1,
        high=64,
    )
    hints: str = setting(
        "",
        "Hints to try: a picture or a folder of them, of sides that are multiples of 8. Empty: "
        "rows of the data, spread over all of it and held out.",
    )
    prompts: str = setting(
        "",
        "A text file with a prompt a line, in the order of the hints. Empty: the rows' captions, "
        "or no prompt with hints of your own.",
    )
    steps: int = setting(20, "Steps of the sampler (DDIM).", low=1, high=1000)
    guidance: float = setting(
        7.5, "Scale of classifier-free guidance; 1 is none.", low=1.0, high=100.0, step=0.5
    )
    seed: int = setting(0, "Decides the noise that the pictures begin with.", high=2**63 - 1)
    rows: int = setting(
        0,
        "Rows held out to measure the gain on: the share of the base's loss that the network takes "
        "away, and how often a picture's own hint beats another's. 24 tell more than the few of a "
        "sheet; 0 takes those.",
        high=1024,
    )


@dataclass(frozen=True)
class OutSettings:
    """What is written, and where."""

    folder: str = setting("output/train", "Folder of the run.")
    name: str = setting(
        "controlnet", "Name of the result: a diffusers folder, and a single file beside it."
    )
    single_file: bool = setting(
        True, "Write the single file, which ComfyUI and others load, besides the folder."
    )
    half: bool = setting(False, "Write the results in fp16: half the size.")

    @property
    def place(self) -> Path:
        """The run's folder, "~" followed. Raises UserError for one that there cannot be."""
        return typed(self.folder, "the run's folder")


@dataclass(frozen=True)
class RunSettings:
    """A whole run: a section of the TOML file is a field here."""

    base: BaseSettings = field(default_factory=BaseSettings)
    data: DataSettings = field(default_factory=DataSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    out: OutSettings = field(default_factory=OutSettings)


SECTIONS: dict[str, Any] = {
    section.name: section.default_factory for section in fields(RunSettings)
}
"""Section -> the dataclass of its settings."""
