"""A learned preprocessor with its weights, ready where it computes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..ground.errors import UserError
from ..ground.progress import Steps
from ..ground.reporter import reporter
from . import model_choice, weights
from .making import Loaded
from .spec import Annotator, Preprocessor, Weights

if TYPE_CHECKING:
    import torch

FOLDERS = ("controlstack", "depth")
"""The folders of a models folder that hold weights of preprocessors."""


class Keeper(Protocol):
    """Who has the weights and the device: a host, or the folders of a command."""

    def places(self) -> list[Path]:
        """The folders where weights are looked for; downloads go to the first."""
        ...

    def place(self, networks: Sequence[torch.nn.Module]) -> torch.device:
        """Bring `networks` to where they compute, and return that device."""
        ...

    def steps(self, total: int, text: str) -> AbstractContextManager[Steps]:
        """Show the progress of `total` steps inside the block."""
        ...


@dataclass(frozen=True)
class InFolders:
    """Weights in folders laid out as ComfyUI's models, networks on the CPU."""

    models: Sequence[Path]

    def places(self) -> list[Path]:
        """See `Keeper.places`."""
        return [root / name for name in FOLDERS for root in self.models]

    def place(self, networks: Sequence[torch.nn.Module]) -> torch.device:
        """See `Keeper.place`. Networks compute where they were loaded."""
        import torch

        return torch.device("cpu")

    def steps(self, total: int, text: str) -> AbstractContextManager[Steps]:
        """See `Keeper.steps`."""
        return reporter().steps(total, text)


class KeptModel:
    """The learned preprocessor that its owner keeps until another is asked for or its files change.

    A node is such an owner: the host drops it, and the networks with it, when it frees a workflow.
    """

    def __init__(self) -> None:
        self._choice: model_choice.Choice | None = None
        self._annotator: Annotator | None = None

    def ready(self, entry: Preprocessor, model: str, download: bool, keeper: Keeper) -> Loaded:
        """`entry` with `model` ("" for the first there is), its networks where `keeper` computes.

        Raises UserError for weights that are missing, unless `download`, or do not fit.
        """
        choice = _choice(entry, model, download, keeper)
        if self._annotator is None or choice != self._choice:
            self._annotator = None  # the old one goes before the new one comes
            self._annotator, self._choice = choice.load(), choice
        return Loaded(self._annotator, keeper.place(self._annotator.networks))


@dataclass(frozen=True)
class HintMaker:
    """A loaded network that makes hints of pictures.

    `name` is that of its weights: hints are kept in a cache under it.
    """

    loaded: Loaded
    name: str


def load(entry: Preprocessor, model: str, keeper: Keeper, download: bool = False) -> Loaded:
    """`entry` with `model`, "" for the first of it that `keeper` has.

    Raises UserError for weights that are missing, unless they may be downloaded, and for weights
    that do not fit.
    """
    return KeptModel().ready(entry, model, download, keeper)


def fetch(entry: Preprocessor, model: str, keeper: Keeper, download: bool = False) -> None:
    """See that `load` will find weights, and `download` what is missing where it may; no network is
    loaded. Raises UserError for weights that are missing or are surely none.
    """
    _choice(entry, model, download, keeper).check()


def hint_maker(entry: Preprocessor, keeper: Keeper, download: bool = False) -> HintMaker:
    """`entry` with the first of its models that `keeper` has. Raises UserError as `load` does."""
    choice = _choice(entry, "", download, keeper)
    files = ", ".join(path.name for path in choice.paths)
    return HintMaker(load(entry, "", keeper), f"{files} {choice.changed}")


def require(entry: Preprocessor, keeper: Keeper) -> None:
    """Raise UserError, as short as a list needs it, for weights that are not on this machine."""
    learning, places = entry.learning, keeper.places()
    assert learning is not None
    try:
        model_choice.choose(entry, "", places)
    except UserError as error:
        needed = (learning.models[0], *learning.also)
        gone = [one for one in needed if weights.find(one, places) is None]
        raise UserError(f"Needs {'; '.join(map(_page, gone))}") from error


def is_here(entry: Preprocessor, keeper: Keeper) -> bool:
    """Whether the weights of one of its models are on this machine."""
    try:
        require(entry, keeper)
    except UserError:
        return False
    return True


def _choice(entry: Preprocessor, model: str, download: bool, keeper: Keeper) -> model_choice.Choice:
    places = keeper.places()
    target = places[0] if download else None
    return model_choice.choose(entry, model, places, target, keeper.steps)


def _page(one: Weights) -> str:
    if one.shipped is not None:
        return f"the files of {one.name} that ship with ControlStack; install it anew"
    files = one.name if one.is_folder else ", ".join(Path(file).name for file in one.files)
    use = "" if one.commercial else ", not for commercial use"
    page = f"{weights.PAGES}/{one.repo}"
    return f"{files} ({one.megabytes} MB, {one.licence}{use}) from {page}"
