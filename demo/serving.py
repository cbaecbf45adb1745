"""The demo models for a server: they stand in for whatever files its workflows name."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..ground.errors import UserError
from ..headless import host
from ..headless.folders import Folders
from ..headless.graph.model import Graph
from ..headless.graph.registry import Registry
from ..headless.graph.workflow import load_workflow
from ..headless.sampling.previews import image_of
from . import models
from .suiting import sized, standing, suited

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from ..headless.models.vae import Vae


class DemoModels:
    """`headless.server.house.Models`: every graph at the demo's size, with the demo's models.

    A name that stood in once does so from then on, so that results of former runs hold; those of
    `workflows` do from the start, and menus list them; they are read when somebody first asks.
    """

    def __init__(self, places: Folders, workflows: Iterable[Path], registry: Registry) -> None:
        models.require_weights()
        self._places = places
        self._workflows, self._registry = list(workflows), registry
        self._aliases: dict[str, dict[str, Path]] = {}
        self._lock = threading.RLock()

    def folders(self) -> Folders:
        """The given ones, with what stands in for models."""
        with self._lock:
            self._read()
            known = {kind: dict(names) for kind, names in self._aliases.items()}
        return replace(self._places, aliases=known)

    def suited(self, graph: Graph, registry: Registry) -> Graph:
        """The graph at the demo's size, without what its models cannot hold: its notes say what."""
        graph, _ = sized(graph, registry)
        with host.use(self._places):
            graph = suited(graph, registry)
            self._learn(graph)
        return graph

    def _read(self) -> None:
        """Learn from the workflows that were given, once."""
        workflows, self._workflows = self._workflows, []
        for path in workflows:
            try:
                with host.use(self._places):
                    self._learn(load_workflow(path, self._registry))
            except UserError:
                continue  # of another family, or with what the demo lacks

    def _learn(self, graph: Graph) -> None:
        found = standing([graph], self._registry)
        with self._lock:
            for kind, names in found.aliases.items():
                self._aliases.setdefault(kind, {}).update(names)


def look(denoised: Tensor) -> Image | None:
    """A preview by the demo's own decoder, at half the picture's size: a quarter of the work."""
    from torch.nn import functional as F

    from ..headless.models.vae import LATENT_SCALE

    half = F.avg_pool2d(denoised[:1].float(), 2)
    return image_of(_vae().decode(half / LATENT_SCALE)[0] * 2 - 1)


@cache
def _vae() -> Vae:
    from ..headless.models.loading import load_vae

    return load_vae(models.BASE / "vae")
