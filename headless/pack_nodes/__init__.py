"""Nodes of other packs that workflows share, run by our own code on the embedded host alone.

In ComfyUI the packs themselves are there. Knows the host, our preprocessors and our engine.
"""

from . import aux_around, aux_hints
from .declare import PACK_NODES

__all__ = ["PACK_NODES", "aux_around", "aux_hints"]
