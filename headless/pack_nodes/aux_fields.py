"""Fields, menus and categories of comfyui_controlnet_aux's nodes."""

from __future__ import annotations

from ..core_nodes.declare import Declared, integer, number
from ..resize import MAX_RESOLUTION
from .declare import nodes_of

PACK = "comfyui_controlnet_aux"
aux_node = nodes_of(PACK)

MENU = "ControlNet Preprocessors/"
LINES, POSES, DEPTHS = (
    f"{MENU}Line Extractors",
    f"{MENU}Faces and Poses Estimators",
    f"{MENU}Normal and Depth Estimators",
)
SEGMENTS, TILES, RECOLOR = (
    f"{MENU}Semantic Segmentation",
    f"{MENU}tile",
    f"{MENU}Recolor",
)
T2I, OTHERS = f"{MENU}T2IAdapter-only", f"{MENU}others"


def whole(default: int, least: int = 0, most: int = MAX_RESOLUTION) -> Declared:
    """An INT of that pack's, which have a step always."""
    return integer(default, least, most, 1)


def real(default: float, least: float = 0, most: float = 1, step: float = 0.01) -> Declared:
    """A FLOAT of that pack's."""
    return number(default, least, most, step)


def menu(*choices: str, default: str = "") -> Declared:
    """A choice of that pack's."""
    return list(choices), {"default": default or choices[0]}


def resolution(default: int = 512, least: int = 64, step: int = 64) -> Declared:
    """The pixels of the shorter side at which a picture is looked at."""
    return integer(default, least, MAX_RESOLUTION, step)


RESOLUTION = {"resolution": resolution()}
SAFE = {"safe": menu("enable", "disable"), **RESOLUTION}


def is_on(value: object) -> bool:
    """Whether a switch of that pack's is on."""
    return value == "enable"
