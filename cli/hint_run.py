"""What `controlstack hint NAME IN...` does once its options are read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..ground.errors import UserError
from ..ground.ours import MARKED, Results
from ..ground.parameters import Value
from ..ground.places import require_place
from ..ground.reporter import reporter
from ..ground.wording import listing
from ..headless.folders import IMAGE_SUFFIXES
from ..preprocessors.making import FIT, Made, Sizing, make
from ..preprocessors.picture import checked_size
from ..preprocessors.pose.people import to_json
from ..preprocessors.sheet.files import ENDINGS, encode_hint, free_names
from ..preprocessors.sources import read_mask, read_sources
from ..preprocessors.spec import Preprocessor
from .hint_inputs import find_inputs
from .progress import shown_progress
from .say import note, say


@dataclass(frozen=True)
class Order:
    """What a user asked for: hints of `inputs` in the folder `out`.

    `overwrite`: files in the way are replaced, whoever made them. `mask` is for every masked
    picture; `json` asks for the people that were found, too, and `deep` for 16 bits. `model` is ""
    for the first that is in the folders `models`, which are laid out as ComfyUI's.
    """

    entry: Preprocessor
    inputs: tuple[str, ...]
    settings: Mapping[str, Value]
    sizing: Sizing
    out: Path
    overwrite: bool
    mask: Path | None
    json: bool
    deep: bool
    model: str
    models: tuple[Path, ...]
    download: bool


@dataclass
class _Outcome:
    written: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def carry_out(order: Order) -> None:
    """Make and write every hint, print its file's name, and go on past a file that gives none.

    Raises UserError with a line for each file that gave none, and at once for what is wrong with
    the order itself.
    """
    settings = order.entry.settings(order.settings)
    if order.sizing.size is not None:
        checked_size(*order.sizing.size, "The hint")
    require_place(order.out, "the folder", folder=True)
    if order.out.suffix.lower() in IMAGE_SUFFIXES and not order.out.exists():
        raise UserError(f"--out {order.out} looks like a picture; name a folder for the hints.")
    mask = read_mask(order.mask) if order.mask is not None else None
    endings = (".json",) if order.entry.takes == "pose" else IMAGE_SUFFIXES
    inputs = find_inputs(order.inputs, endings)
    outcome = _Outcome(failures=list(inputs.failures))
    if order.sizing.size is None and order.sizing.fit != FIT.default:
        outcome.notes.append("--fit does nothing without --size: hints have their sources' size")
    with _told(outcome), shown_progress():
        if inputs.files:
            _make_all(order, settings, inputs.files, mask, outcome)
    if outcome.failures:
        raise _summary(outcome.failures, len(inputs.files) + len(inputs.failures))


def _make_all(
    order: Order,
    settings: Mapping[str, Value],
    files: Sequence[Path],
    mask: npt.NDArray[np.float32] | None,
    outcome: _Outcome,
) -> None:
    entry = order.entry
    results = Results([*files, *([order.mask] if order.mask is not None else [])], order.overwrite)
    jobs = []
    for path, target in zip(files, free_names(files, entry.name, order.out, files), strict=True):
        try:
            # How many frames a pose has is not known yet.
            for file in _files(target, 1, order) if entry.takes != "pose" else ():
                results.expect(file)
            jobs.append((path, target))
        except UserError as error:
            outcome.failures.append(_naming(path, error))
    loaded = None
    if entry.learning is not None and jobs:
        reporter().stage(f"loading {entry.name}")
        from ..preprocessors.ready import InFolders, load  # torch with it

        loaded = load(entry, order.model, InFolders(order.models), order.download)
    with reporter().steps(len(jobs), entry.name) as bar:
        for path, target in jobs:
            try:
                read = read_sources(entry.takes, path, mask)
                made = [make(entry, one, settings, order.sizing, loaded) for one in read.sources]
                outcome.notes += read.notes
                _write(made, path, target, order, results, outcome)
            except (UserError, OSError) as error:
                outcome.failures.append(_naming(path, error))
            except Exception:  # a bug of ours, which whoever reports it can show with this file
                outcome.notes.append(f"it was {path} that went wrong")
                raise
            bar.advance()
    if results.replaced:
        outcome.notes.append(f"earlier files are replaced: {listing(results.replaced, 5)}")


def _files(target: Path, frames: int, order: Order) -> list[Path]:
    """The files of a hint: `target` with each ending, frames with a number each."""
    numbers = [f"_{number:04}" for number in range(1, frames + 1)] if frames > 1 else [""]
    endings = ENDINGS if order.json else ENDINGS[:1]
    return [target.with_name(target.name + number + end) for number in numbers for end in endings]


def _write(
    made: Sequence[Made],
    source: Path,
    target: Path,
    order: Order,
    results: Results,
    outcome: _Outcome,
) -> None:
    """Write what was made of `source`; all of its places are looked at first."""
    order.out.mkdir(parents=True, exist_ok=True)
    files = _files(target, len(made), order)
    for file in files:
        results.expect(file)
    writing = iter(files)
    for one in made:
        file = next(writing)
        results.write(file, encode_hint(one.hint, order.deep))
        outcome.written.append(file)
        if one.pose is not None and not one.pose.people:
            outcome.notes.append(f"nobody in {source}; {file} is black")
        if order.json and one.pose is not None:
            people = next(writing)
            results.write(people, json.dumps(MARKED | to_json(one.pose)).encode())
            outcome.written.append(people)
    if target.name != f"{source.stem}_{order.entry.name}":
        outcome.notes.append(f"{source} becomes {files[0]}, since another file has the plain name")


@contextmanager
def _told(outcome: _Outcome) -> Iterator[None]:
    """Prints what was done after the block, also where it was stopped: a progress bar on the same
    terminal would garble lines printed meanwhile."""
    try:
        yield
    except BaseException:
        outcome.notes += outcome.failures
        raise
    finally:
        for words in outcome.notes:
            note(words)
        for path in outcome.written:
            say(path)


def _naming(path: Path, error: UserError | OSError) -> str:
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return said if str(path) in said else f"{path}: {said}"


def _summary(failures: Sequence[str], count: int) -> UserError:
    if count == 1:
        return UserError(failures[0])
    return UserError(f"{len(failures)} of {count} inputs gave no hint:", failures)
