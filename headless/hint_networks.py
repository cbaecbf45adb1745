"""Learned preprocessors made ready outside of a workflow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..ground.errors import UserError
from ..nodes.hint_batch import KeptModel
from ..nodes.hint_batch import hint_maker as hint_maker_here
from ..preprocessors import model_choice, weights
from ..preprocessors.making import Loaded
from ..preprocessors.spec import Preprocessor, Weights
from ..training.data.reading import HintMaker
from . import folders, host


def load(entry: Preprocessor, model: str, models: Sequence[Path], download: bool = False) -> Loaded:
    """`entry` with `model`, "" for the first of it that is in the folders `models`.

    The folders are laid out as ComfyUI's. Raises UserError for weights that are missing, unless
    they may be downloaded, and for weights that do not fit.
    """
    with _among(models):
        return KeptModel().ready(entry, model, download)


def hint_maker(entry: Preprocessor, models: Sequence[Path], download: bool = False) -> HintMaker:
    """`entry` with the first of its models in the folders `models`, for training data.

    Raises UserError for weights that are missing, unless they may be downloaded, and for weights
    that do not fit.
    """
    with _among(models):
        return hint_maker_here(entry, download)


def require(entry: Preprocessor, models: Sequence[Path]) -> None:
    """Raise UserError, as short as a list needs it, for weights that are not on this machine."""
    learning = entry.learning
    assert learning is not None
    with _among(models) as places:
        try:
            model_choice.choose(entry, "", places)
        except UserError as error:
            needed = (learning.models[0], *learning.also)
            gone = [one for one in needed if weights.find(one, places) is None]
            raise UserError(f"Needs {'; '.join(map(_page, gone))}") from error


@contextmanager
def _among(models: Sequence[Path]) -> Iterator[list[Path]]:
    """The embedded host with these models; where it looks for weights."""
    host.install()
    here = Path.cwd()
    with folders.use(folders.Folders(tuple(models), (here,), here, here)):
        yield host.EmbeddedHost().places()


def _page(one: Weights) -> str:
    files = one.name if one.is_folder else ", ".join(Path(file).name for file in one.files)
    use = "" if one.commercial else ", not for commercial use"
    page = f"{weights.PAGES}/{one.repo}"
    return f"{files} ({one.megabytes} MB, {one.licence}{use}) from {page}"
