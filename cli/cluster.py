"""`--ray`: work on Ray, of its own on this machine or on a cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile, zip_longest
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


_ADDRESS = re.compile(r"auto|local|ray://\S+|(?!-)[^\s/\\=]+:\d+")
"""What --ray may be given; what else follows it is another option, or the command's argument."""


def with_address(words: Sequence[str]) -> list[str]:
    """The command line as typed, with the address that --ray alone means."""
    options = list(takewhile(lambda word: word != "--", words))
    told: list[str] = []
    for word, after in zip_longest(options, words[1 : len(options) + 1], fillvalue=""):
        told.append(word)
        if word == "--ray" and not _ADDRESS.fullmatch(after):
            told.append("local")
    return [*told, *words[len(options) :]]


class RayCommand(TyperCommand):
    """A command whose --ray may stand alone, and then means a Ray of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typed, with the address that --ray alone means."""
        rest: list[str] = super().parse_args(ctx, with_address(args))
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
