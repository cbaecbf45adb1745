"""`controlstack serve`: ComfyUI's front end in a browser, over the embedded host."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..ground.errors import UserError
from ..ground.garbage import uncollected
from ..ground.log import log
from ..ground.parameters import setting
from .options import command_of
from .places import PlaceOptions
from .run import ComputingOptions
from .say import note, say, tell

if TYPE_CHECKING:
    from ..headless.server.house import House

LOCAL = "127.0.0.1"
PORT = 8188
"""ComfyUI's own: programs that speak its API look there first."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """The command's options."""

    demo: bool = setting(False, "Put the small demo models in the models' place.")
    port: int = setting(PORT, "0 takes any that is free.", low=0, high=65535)
    listen: str = setting(
        LOCAL, "Address to listen on; 0.0.0.0 lets every machine in.", metavar="ADDRESS"
    )
    out: Path = setting(Path("output"), "Folder for the pictures.", metavar="DIR")
    places: PlaceOptions = field(default_factory=PlaceOptions)
    user: Path = setting(
        Path("user"), "Folder for settings, saved workflows and the history.", metavar="DIR"
    )
    front_end: Path | None = setting(
        None, "Another front end: the folder `static` of its package.", metavar="DIR"
    )
    computing: ComputingOptions = field(default_factory=ComputingOptions)


def _serve(options: ServeOptions) -> None:
    """Open ComfyUI's front end over this program's own nodes, without ComfyUI.

    It runs until Ctrl-C. Models, pictures and --demo are as in `controlstack run`.
    """
    if not (Path(__file__).parents[1] / "headless" / "server").is_dir():
        raise UserError(
            "the archive for ComfyUI, which has a server, leaves this one out: clone the "
            "repository to have it"
        )
    if find_spec("aiohttp") is None:
        raise UserError("aiohttp is not installed, which serves: pip install 'controlstack[serve]'")
    with uncollected():
        from ..headless.server.app import Server
        from ..headless.server.guard import is_loopback

        house = _house(options)
    outside = not is_loopback(options.listen)
    if outside:
        note(
            f"--listen {options.listen} lets other machines run workflows and read and write "
            "pictures here, without a password"
        )
    server = Server(house, local_only=not outside, around=_around(options.demo))

    def ready(port: int) -> None:
        name = f"[{options.listen}]" if ":" in options.listen else options.listen
        say(f"http://{name}:{port}")

    log.addHandler(_Told())
    log.setLevel(logging.INFO)
    asyncio.run(server.run(options.listen, options.port, ready))


class _Told(logging.Handler):
    """What the server's log says, on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        tell(record.getMessage())


serve_command = command_of(ServeOptions, _serve)


def _house(options: ServeOptions) -> House:
    from ..headless import computing
    from ..headless.graph.registry import default_registry
    from ..headless.sampling.previews import roughly
    from ..headless.server import front_end
    from ..headless.server.house import PACK, House, OwnModels

    chosen = computing.chosen(options.computing.device, options.computing.dtype)
    static = options.front_end and front_end.require(options.front_end)
    workflows = PACK / "workflows"
    places = options.places.folders(workflows / "pose.json", options.out)
    lent = workflows / "input"  # what the templates load
    places = replace(places, input=tuple(dict.fromkeys((*places.input, lent))))
    registry = default_registry()
    if options.demo:
        from ..demo import serving

        models: OwnModels | serving.DemoModels = serving.DemoModels(
            places, sorted(workflows.glob("*.json")), registry
        )
    else:
        models = OwnModels(places)
    return House(
        registry=registry,
        models=models,
        user=options.user,
        front_end=static or front_end.installed(),
        look=serving.look if options.demo else roughly,
        computing=chosen,
    )


def _around(demo: bool) -> AbstractContextManager[object]:
    if not demo:
        return nullcontext()
    from ..ground.threads import one_thread

    return one_thread()
