"""Every setting of a training run, declared once: the command's flags, the nodes' widgets, the TOML
file and the help are made from these dataclasses and from nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ground.parameters import setting

MANY = 100_000_000
"""More steps, pictures or seconds than any run has."""


@dataclass(frozen=True)
class NetSettings:
    """What the trained network is: `copy.control_net_from` makes it."""

    kind: str = setting(
        "controlnet",
        "controlnet: a copy of the encoder behind zero convolutions. gaussian: the same with "
        "ordinary convolutions. lite: one light convolution a block, nothing copied.",
        choices=("controlnet", "gaussian", "lite"),
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
