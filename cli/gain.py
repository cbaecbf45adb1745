"""`controlstack gain CONTROLNET ... --base B --data D`: does a ControlNet use its hints?"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from ..ground.parameters import parameters
from ..training.settings import ValidationSettings
from .exit_codes import DebugOption, reported
from .options import ModelsOption, option, with_options
from .options import path as typed_path
from .progress import shown_progress
from .say import readable, row, show, table
from .train import PANELS, flags, given
from .train_use import DEMO

_SECTIONS = ("base", "data")
_ABOUT = (
    "gain: the share of the base's loss that the network takes away, at fixed noise and with the "
    "empty prompt; own hint wins: how often a picture's own hint is better than another's, a half "
    "is chance. At 0.3 to 0.9 of the noise: the gain there."
)


def _gain(
    networks: list[Path],
    config: Path | None,
    rows: int | None,
    seed: int | None,
    models: list[Path] | None,
    debug: bool,
    **typed: Any,
) -> None:
    with reported(debug):
        from ..demo.models import BASE
        from ..headless.gain import gains
        from ..training.config import read_config, run_settings

        asked = given(typed, sections=_SECTIONS)
        tried = {"rows": rows, "seed": seed}
        asked["validation"] = {name: value for name, value in tried.items() if value is not None}
        files = [read_config(config)] if config else []
        settings, run = run_settings(*files, asked), run_settings(*files) if config else None
        places = tuple(models or [Path("models")])
        with shown_progress():
            found = [*gains(networks, settings, places, {DEMO: BASE}, rows, run)]
    _print(found)


def _print(found: list[Any]) -> None:
    from rich.text import Text

    from ..training.events import GAIN
    from ..training.gain import LEVELS, OWN_WINS

    count = found[0].rows
    levels = [f"at {level:g}" for level in LEVELS]
    title = f"{count} picture{'s' * (count != 1)}"
    made = table(title, ["ControlNet"], [GAIN, OWN_WINS, *levels])
    for one in found:
        figures = one.losses.figures()
        wins = figures.get(OWN_WINS)
        cells = [f"{figures[GAIN]:.3f}", f"{wins:.2f}" if wins is not None else "–"]
        row(made, str(one.network), *cells, *(f"{gain:.3f}" for gain in one.losses.by_level))
    show(made, Text(readable(_ABOUT), style="dim"))


_NETWORKS = typer.Argument(
    metavar="CONTROLNET ...",
    help="ControlNets to measure: diffusers folders, checkpoints of a run, or files.",
    parser=typed_path,
)
_CONFIG = typer.Option(
    metavar="FILE",
    help="A run's config.toml: its base, its data, and the rows that it held out.",
    parser=typed_path,
)
_COUNT = {
    one.name: option(one, f"--{one.name}", PANELS["validation"])
    for one in parameters(ValidationSettings)
    if one.name in ("rows", "seed")
}
gain_command = with_options(
    _gain,
    {
        "networks": (Annotated[list[Path], _NETWORKS], inspect.Parameter.empty),
        "config": (Annotated[Path | None, _CONFIG], None),
        **_COUNT,
        "models": (ModelsOption, None),
        "debug": (DebugOption, False),
        **flags(_SECTIONS),
    },
)
gain_command.__doc__ = """Measure whether ControlNets use their hints, for any condition."""
