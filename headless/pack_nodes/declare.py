"""How a node of another pack is declared: as the core's are, with the name of its pack."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..core_nodes.declare import Function, core_node

PACK_NODES: dict[str, type[Any]] = {}
"""Nodes of other packs that run by our own code, by id: V1 classes, as those packs have them."""


def nodes_of(pack: str) -> Callable[..., Callable[[Function], Function]]:
    """`core_node` for the nodes of `pack`, which their classes name as PACK."""
    return partial(core_node, among=PACK_NODES, PACK=pack)
