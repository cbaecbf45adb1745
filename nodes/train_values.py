"""What travels on the wires between the training nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..training.events import Point, Validation
    from ..training.settings import NetSettings

CATEGORY = "ControlStack/training"
TRAINABLE = "CONTROLSTACK_TRAINABLE"
DATA = "CONTROLSTACK_DATA"
CURVE = "CONTROLSTACK_CURVE"


@dataclass(frozen=True)
class Trainable:
    """A network of diffusers' layout, new or trained; nobody changes it on its wire.

    `settings` are what it was made with, and `about` is what it was made from, for the header of
    its file.
    """

    network: Any
    settings: NetSettings
    about: dict[str, str]


@dataclass(frozen=True)
class LossCurve:
    """The curve of a run, under the run's name."""

    name: str
    points: Sequence[Point]
    validations: Sequence[Validation]
