"""What the server is given: nodes, folders, and what is done to a graph before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .. import computing, host
from ..computing import Computing
from ..folders import Folders
from ..graph.model import Graph
from ..graph.registry import Registry
from ..sampling.previews import Look, roughly

PACK = Path(__file__).parents[2]
"""The pack's own folder: its web files, templates and texts are served as ComfyUI serves them."""
PACK_NAME = "controlstack"


class Models(Protocol):
    """Which files models are, and what a graph is made into to suit them."""

    def folders(self) -> Folders:
        """Where models and pictures are now."""

    def suited(self, graph: Graph, registry: Registry) -> Graph:
        """The graph that runs in `graph`'s place; raises UserError where none can."""


class OwnModels:
    """The files that lie in the folders, and every graph as it is."""

    def __init__(self, places: Folders) -> None:
        self._places = places

    def folders(self) -> Folders:
        """Those that were given."""
        return self._places

    def suited(self, graph: Graph, registry: Registry) -> Graph:
        """The same graph."""
        return graph


@dataclass(frozen=True)
class House:
    """The server's surroundings.

    `user` is the folder of settings and saved workflows, `front_end` the folder `static` of
    ComfyUI's front end; `look` makes previews of latents; `upload` is the largest request in bytes;
    `computing` is where networks compute.
    """

    registry: Registry
    models: Models
    user: Path
    front_end: Path
    look: Look = roughly
    upload: int = 100 << 20
    computing: Computing = Computing()

    @contextmanager
    def open(self) -> Iterator[Folders]:
        """Let the embedded host answer inside the block, where people see what nodes show."""
        places = self.models.folders()
        with host.use(places, watched=True), computing.use(self.computing):
            yield places
