"""Which weights a learned preprocessor uses: the one picked, or the first that is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..ground.errors import UserError
from ..ground.names import inner_name
from ..ground.progress import Progress
from . import weights
from .download import download
from .spec import Annotator, Learning, Preprocessor, Weights


@dataclass(frozen=True)
class Choice:
    """The files of a learned preprocessor, all there: those of its model, then those it needs
    besides. `changed` are their times of change, so that equal choices load equal weights."""

    learning: Learning
    paths: tuple[Path, ...]
    changed: tuple[int, ...]

    def check(self) -> None:
        """Raise UserError where a look at the files tells that they cannot be loaded."""
        if self.learning.check is not None:
            self.learning.check(self.paths)

    def load(self) -> Annotator:
        """The preprocessor, loaded. Raises UserError for weights that do not fit."""
        return self.learning.load(self.paths)


def names(learning: Learning, places: Sequence[Path]) -> list[str]:
    """The models to pick from: those on this machine first, then the other published ones."""
    found = {model.name: weights.find(model, places) for model in learning.models}
    here = [name for name, paths in found.items() if paths is not None]
    known = {path for paths in found.values() for path in paths or ()}
    own = weights.local_folders(places, learning.model_types)
    strangers = [name for name, path in own.items() if path not in known]
    return list(dict.fromkeys([*here, *strangers, *found]))


def choose(
    preprocessor: Preprocessor,
    model: str,
    places: Sequence[Path],
    download_to: Path | None = None,
    progress: Progress | None = None,
) -> Choice:
    """The files of `model`, "" for the first of `names`.

    Where some are missing they are downloaded into `download_to`, and a UserError says which they
    are where that is None. Raises UserError for an unknown model, too.
    """
    learning = preprocessor.learning
    assert learning is not None
    wanted = [_published(preprocessor, learning, model, places), *learning.also]
    paths: list[Path] = []
    for one in wanted:
        if isinstance(one, Path):
            paths.append(one)
            continue
        found = weights.find(one, places)
        if found is None and download_to is not None and one.shipped is None:
            found = download(one, download_to, progress)
        if found is None:
            raise weights.missing(one, places)
        paths += found
    return Choice(learning, tuple(paths), tuple(_changed(path) for path in paths))


def _published(
    preprocessor: Preprocessor, learning: Learning, model: str, places: Sequence[Path]
) -> Weights | Path:
    model = model and str(inner_name(model, f"{preprocessor.name}'s model", "the models' folders"))
    name = model or names(learning, places)[0]
    for one in learning.models:
        if one.name == name:
            return one
    own = weights.local_folders(places, learning.model_types)
    if name in own:
        return own[name]
    raise UserError(
        f"{preprocessor.name} has no model {name}; there is {', '.join(names(learning, places))}."
    )


def _changed(path: Path) -> int:
    """When `path`, or a file directly in it, was changed last."""
    files = [path, *path.iterdir()] if path.is_dir() else [path]
    return max(file.stat().st_mtime_ns for file in files)
