"""The weights of MediaPipe's networks, which lie in `weights/` beside this file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..learned.tensors import Networks
from ..pose.people import Pose
from ..spec import Annotator, Hint, Learning, Weights

FOLDER = Path(__file__).parent / "weights"


def shipped(
    name: str,
    draw: Callable[..., Hint | Pose],
    networks: Sequence[str],
    megabytes: int,
    finds_people: bool = False,
) -> Learning:
    """The learning of a preprocessor whose `networks` are files of FOLDER: `draw` is given the
    picture, the device, the networks in this order and the settings by name.

    `name` is that of the weights, `megabytes` their size together.
    """
    files = tuple(f"{network}.safetensors" for network in networks)
    weights = Weights(name, "", files, "Apache-2.0", True, megabytes, shipped=FOLDER)

    def load(paths: Sequence[Path]) -> Annotator:
        from .network import load_network  # torch with it

        return Networks("MediaPipe", [load_network(path) for path in paths], draw)

    return Learning((weights,), load, any_size=True, finds_people=finds_people)
