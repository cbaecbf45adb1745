"""The weights of MediaPipe's networks, which lie in `weights/` beside this file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..learned.tensors import Networks
from ..spec import Annotator, Hint, Learning, Weights
from ..pose.people import Pose

FOLDER = Path(__file__).parent / "weights"


def shipped(
    who: str, draw: Callable[..., Hint | Pose], *names: str, finds_people: bool = False
) -> Learning:
    """The learning of a preprocessor whose networks are in the files `names` of FOLDER: `draw` is
    given the picture, the device, the networks in this order and the settings by name.

    `who` names it in sentences.
    """
    files = tuple(f"{name}.safetensors" for name in names)
    size = sum((FOLDER / file).stat().st_size for file in files)
    weights = Weights(
        name="MediaPipe",
        repo="",
        files=files,
        licence="Apache-2.0",
        commercial=True,
        megabytes=round(size / 1e6),
        shipped=FOLDER,
    )

    def load(paths: Sequence[Path]) -> Annotator:
        from .network import load_network  # torch with it

        return Networks(who, [load_network(path) for path in paths], draw)

    return Learning((weights,), load, any_size=True, finds_people=finds_people)
