"""What `controlstack hint NAME IN...` does once its options are read."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..ground.cluster import results_of
from ..ground.errors import UserError
from ..ground.inputs import IMAGE_SUFFIXES, find_inputs
from ..ground.ours import MARKED, Results
from ..ground.parameters import Value, pairs_of
from ..ground.places import require_place
from ..ground.reporter import reporter
from ..ground.wording import listing
from ..preprocessors.making import FIT, RESOLUTION, Loaded, Made, Sizing, make, missed
from ..preprocessors.picture import checked_size
from ..preprocessors.pose.draw import least_confidence
from ..preprocessors.pose.people import to_json
from ..preprocessors.sheet.files import ENDINGS, encode_hint, free_names
from ..preprocessors.sources import read_mask, read_sources
from ..preprocessors.spec import Preprocessor
from .cluster import pool_of
from .hint_command import HintOptions
from .progress import shown_progress
from .say import note, say

if TYPE_CHECKING:
    from ..ground.cluster import Pool


def make_hints(entry: Preprocessor, options: HintOptions) -> None:
    """Make and write every hint, print its file's name, and go on past a file that gives none.

    Raises UserError with a line for each file that gave none, and at once for what is wrong with
    the options themselves.
    """
    settings = entry.settings_in_words(pairs_of(options.settings))
    RESOLUTION.checked(options.resolution, entry.name)
    if options.size is not None:
        checked_size(*options.size, "The hint")
    require_place(options.out, "the folder", folder=True)
    if options.out.suffix.lower() in IMAGE_SUFFIXES and not options.out.exists():
        raise UserError(f"--out {options.out} looks like a picture; name a folder for the hints.")
    mask = options.mask
    making = _Making(entry, options, settings, read_mask(mask) if mask is not None else None)
    inputs = find_inputs(options.inputs, (".json",) if entry.takes == "pose" else IMAGE_SUFFIXES)
    making.failures += inputs.failures
    making.notes += inputs.notes
    if options.size is None and options.fit != FIT.default:
        making.notes.append("--fit does nothing without --size: hints have their sources' size")
    with making.told(), shown_progress():
        if inputs.files:
            making.make_all(inputs.files)
    if making.failures:
        raise _summary(making.failures, len(inputs.files) + len(inputs.failures))


@dataclass(frozen=True)
class Found:
    """The hints of one file, one a frame, and what is said of it."""

    hints: list[Made]
    notes: tuple[str, ...]


class HintWorker:
    """Makes hints of files, here or in a process on Ray; a network is loaded once."""

    def __init__(
        self,
        entry: Preprocessor,
        options: HintOptions,
        settings: Mapping[str, Value],
        mask: npt.NDArray[np.float32] | None,
    ) -> None:
        """Raises UserError for weights that are not there."""
        self._entry, self._options = entry, options
        self._settings, self._mask = settings, mask
        self._loaded: Loaded | None = None
        if entry.learning is not None:
            reporter().stage(f"loading {entry.name}")
            from ..preprocessors.ready import InFolders, load  # torch with it

            folders = InFolders(options.models)
            self._loaded = load(entry, options.model, folders, options.download)

    def run(self, path: Path) -> Found | Exception:
        """The hints of a file, or the error that names why it has none."""
        asked = self._options
        try:
            sure = least_confidence(self._settings)
            read = read_sources(self._entry.takes, path, self._mask, sure=sure)
            sizing = Sizing(asked.size, asked.fit, asked.resolution)
            made = [
                make(self._entry, one, self._settings, sizing, self._loaded) for one in read.sources
            ]
        except Exception as error:
            return error
        return Found(made, tuple(read.notes))


def _made(
    asked: tuple[Any, ...], jobs: Mapping[Path, Path], pool: Pool | None
) -> Generator[tuple[Path, Path, Found | Exception], None, None]:
    """What comes of each of `jobs` (a file, and the place of its hint), in any order."""
    if not jobs:
        return
    if pool is not None:  # what is missing is said, or fetched, once
        entry, options, *others = asked
        if entry.learning is not None:
            from ..preprocessors.ready import InFolders, fetch

            fetch(entry, options.model, InFolders(options.models), options.download)
        asked = (entry, replace(options, download=False), *others)
    with closing(results_of(HintWorker, asked, jobs, pool)) as results:
        for result in results:
            died = UserError(f"{result.item}: {result.died}") if result.died else None
            yield result.item, jobs[result.item], died or result.value


def _place(file: Path, places: Mapping[str, int]) -> int:
    """The number of the job that a file is of; a job's own files keep the order of writing."""
    stem = file.stem
    while stem not in places and "_" in stem:
        stem = stem.rpartition("_")[0]
    return places.get(stem, 0)


@dataclass
class _Making:
    """Hints on their way, and what is said of them at the end."""

    entry: Preprocessor
    options: HintOptions
    settings: Mapping[str, Value]
    mask: npt.NDArray[np.float32] | None
    written: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def make_all(self, files: Sequence[Path]) -> None:
        """Make a hint of each file that has a place for it."""
        entry, options = self.entry, self.options
        results = Results([*files, *([options.mask] if options.mask else [])], options.overwrite)
        jobs: dict[Path, Path] = {}
        targets = free_names(files, entry.name, options.out, files)
        for path, target in zip(files, targets, strict=True):
            try:
                # How many frames a pose has is not known yet.
                for file in self._places(target, 1) if entry.takes != "pose" else ():
                    results.expect(file)
                jobs[path] = target
            except UserError as error:
                self.failures.append(_naming(path, error))
        asked = (entry, options, self.settings, self.mask)
        with (
            pool_of(options.cluster) as pool,
            closing(_made(asked, jobs, pool)) as hints,
            reporter().steps(len(jobs), entry.name) as bar,
        ):
            for path, target, found in hints:
                try:
                    if isinstance(found, Exception):
                        raise found
                    self.notes += found.notes
                    self._write(found.hints, path, target, results)
                except (UserError, OSError) as error:
                    self.failures.append(_naming(path, error))
                except Exception:  # a bug of ours, which its reporter can show with this file
                    self.notes.append(f"it was {path} that went wrong")
                    raise
                bar.advance()
        places = {target.name: number for number, target in enumerate(jobs.values())}
        self.written.sort(key=lambda file: _place(file, places))
        if results.replaced:
            self.notes.append(f"earlier files are replaced: {listing(results.replaced, 5)}")

    def _places(self, target: Path, frames: int) -> list[Path]:
        """The files of a hint: `target` with each ending, frames with a number each."""
        numbers = [f"_{number:04}" for number in range(1, frames + 1)] if frames > 1 else [""]
        endings = ENDINGS if self.options.json else ENDINGS[:1]
        return [target.with_name(target.name + at + end) for at in numbers for end in endings]

    def _write(self, made: Sequence[Made], source: Path, target: Path, results: Results) -> None:
        """Write what was made of `source`; all of its places are looked at first."""
        files = self._places(target, len(made))
        for file in files:
            results.expect(file)
        writing = iter(files)
        for one in made:
            file = next(writing)
            results.write(file, encode_hint(one.hint, self.options.deep))
            self.written.append(file)
            if nothing := missed(self.entry, one):
                self.notes.append(f"{nothing} in {source}; {file} is black")
            if self.options.json and one.pose is not None:
                people = next(writing)
                results.write(people, json.dumps(MARKED | to_json(one.pose)).encode())
                self.written.append(people)
        if target.name != f"{source.stem}_{self.entry.name}":
            self.notes.append(f"{source} becomes {files[0]}, since another file has the plain name")

    @contextmanager
    def told(self) -> Iterator[None]:
        """Prints what was done after the block, also where it was stopped: a progress bar on the
        same terminal would garble lines printed meanwhile."""
        try:
            yield
        except BaseException:
            self.notes += self.failures
            raise
        finally:
            for words in self.notes:
                note(words)
            for path in self.written:
                say(path)


def _naming(path: Path, error: UserError | OSError) -> str:
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return said if str(path) in said else f"{path}: {said}"


def _summary(failures: Sequence[str], count: int) -> UserError:
    if count == 1:
        return UserError(failures[0])
    return UserError(f"{len(failures)} of {count} inputs gave no hint:", failures)
