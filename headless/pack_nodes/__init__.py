"""Nodes of other packs that workflows share, run by our own code on the embedded host alone.

In ComfyUI the packs themselves are there. Knows the host, our preprocessors and our engine.
"""

from . import (
    acn_apply,
    acn_keyframes,
    acn_loaders,
    acn_weights,
    aux_around,
    aux_formulas,
    aux_hints,
    comfyroll,
    easy_use,
    efficiency,
    gguf_loaders,
    rgthree,
)
from .declare import PACK_NODES

__all__ = [
    "PACK_NODES",
    "acn_apply",
    "acn_keyframes",
    "acn_loaders",
    "acn_weights",
    "aux_around",
    "aux_formulas",
    "aux_hints",
    "comfyroll",
    "easy_use",
    "efficiency",
    "gguf_loaders",
    "rgthree",
]
