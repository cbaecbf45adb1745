"""All settings of a training run from files to files, by their sections."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..ground.parameters import setting
from .data.inside import typed
from .data.settings import DataSettings
from .settings import NetSettings, TrainingSettings


@dataclass(frozen=True)
class BaseSettings:
    """The locked model."""

    path: str = setting(
        "",
        "The model to train on, which stays as it is: a diffusers folder, a single file of the "
        "Stable Diffusion 1.x family, or demo for the small demo model.",
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


def _kind(section: Any) -> type[Any]:
    kind: type[Any] = section.default_factory
    return kind


SECTIONS: dict[str, type[Any]] = {section.name: _kind(section) for section in fields(RunSettings)}
"""Section -> the dataclass of its settings."""
