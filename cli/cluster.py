"""`--ray`: work on Ray, of its own on this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from ..ground.parameters import setting
from .options import Later

if TYPE_CHECKING:
    from ..ground.cluster import Pool

PANEL = "On a cluster"


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """Where work is done."""

    ray: str = setting(
        "",
        "Work on Ray: of its own on this machine, or HOST:PORT of a cluster's head, or auto for "
        "the one that runs here.",
        metavar="[ADDRESS]",
        panel=PANEL,
    )
    actors: int = setting(
        0,
        "Processes of --ray; 0 for as many as there is room for.",
        metavar="N",
        panel=PANEL,
    )
    cores: int = setting(1, "Cores of each process of --ray.", metavar="N", panel=PANEL)


class RayCommand(TyperCommand):
    """A command whose --ray may stand alone, and then means a Ray of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typed, with the address that --ray alone means."""
        told: list[str] = []
        for word, after in zip_longest(args, args[1:], fillvalue=""):
            told.append(word)
            if word == "--ray" and not (after in ("auto", "local") or ":" in after):
                told.append("local")
        rest: list[str] = super().parse_args(ctx, told)
        return rest


class LaterRayCommand(Later):
    """As `Later`, of a `RayCommand`."""

    meant = RayCommand


@contextmanager
def pool_of(options: RayOptions, gpus: int = 0) -> Iterator[Pool | None]:
    """Processes on Ray for the block, of so many GPUs each; None where nobody asked for it. Raises
    UserError as `ground.cluster.joined` does."""
    if not options.ray:
        yield None
        return
    from ..ground.cluster import Cluster, joined

    with joined(Cluster(options.ray, options.actors, options.cores, gpus)) as pool:
        yield pool
