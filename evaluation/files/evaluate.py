"""What `controlstack evaluate` is asked -> a report in two files."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, replace
from pathlib import Path

from ...ground.cluster import Pool
from ...ground.errors import UserError
from ...ground.inputs import IMAGE_SUFFIXES, files_of
from ...ground.ours import MARKED, Results, expecting
from ...ground.parameters import MODELS, OVERWRITE, Value, pairs_of, setting
from ...ground.wording import listing
from ...preprocessors.names import named
from ...preprocessors.picture_files import upright_header
from ...preprocessors.sizing import Fit
from ...preprocessors.spec import Preprocessor
from ..fidelity import Drawn
from ..own_finder import CommandFinder, FunctionFinder, function_at, own_finder, words_of
from ..report import Report, to_json
from ..report_page import PageRow, report_page
from .extraction import Extractor, check_extracts, extractor_of, finder_of
from .measure import Shared, measure, versions
from .pairing import Group, Pairing, groups_of, pair
from .quality import Metric, QualityOptions, metrics, with_quality

JSON_NAME, PAGE_NAME = "report.json", "report.html"
_MODEL = {"panel": "Model of the preprocessor"}


def entry_of(name: str) -> Preprocessor:
    """The preprocessor of a name, ours or another pack's. Raises UserError as `named` does, and for
    one that finds nothing in pictures.
    """
    entry = named(name)
    check_extracts(entry)
    return entry


_GAIN = (
    "`controlstack gain {} --base B --data D` tells for any condition whether a ControlNet uses "
    "its hints"
)


def pictures_of(arguments: Sequence[str]) -> tuple[Group, ...]:
    """As `groups_of`; a ControlNet among the pictures is a UserError that says what measures it."""
    for one in arguments:
        path = Path(one)
        if path.suffix == ".safetensors" or any(path.glob("diffusion_pytorch_model*.safetensors")):
            raise UserError(
                f"{path} is a network, and pictures are measured here: draw some with it, or "
                f"{_GAIN.format(path)}."
            )
    return groups_of(arguments)


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """The command's arguments and options, each declared here and nowhere else.

    Of `hints` and `originals` one is given, as words: which files a folder stands for depends on
    the preprocessor.
    """

    groups: tuple[Group, ...] = setting(
        MISSING,
        "Folders, files or globs. Each folder is a group of its own, named after it or by "
        "NAME=FOLDER; files given singly are one group.",
        metavar="PICTURES",
        argument=True,
        read=pictures_of,
    )
    preprocessor: Preprocessor | None = setting(
        None,
        "What made the hints; see controlstack hint --help.",
        metavar="NAME",
        read=entry_of,
    )
    finder: str = setting(
        "",
        "Instead of a preprocessor a Python function of yours: uint8 RGB, height x width x 3, to "
        "the hint as the same or as a Pillow picture. A module's is MODULE:FUNCTION.",
        metavar="FILE.py:FUNCTION",
    )
    finder_command: str = setting(
        "",
        'Instead of a preprocessor a command of yours, run for each picture: "PROGRAM {picture} '
        "{hint}\" reads the picture's file and writes the hint's, of the same size.",
        metavar="COMMAND",
    )
    compare: Drawn | None = setting(
        None, "What a finder's hints are compared as; picture unless told otherwise."
    )
    hints: tuple[str, ...] = setting(
        (),
        "The hints that the pictures were made from, named as the pictures: a folder, file or "
        "glob; OpenPose JSON for poses.",
        metavar="DIR",
    )
    originals: tuple[str, ...] = setting(
        (),
        "Instead of hints the pictures that they were made of, by the same preprocessor.",
        metavar="DIR",
    )
    settings: tuple[str, ...] = setting(
        (),
        "A setting of the preprocessor, such as low_threshold=50; repeat for more.",
        flag="--set",
        metavar="NAME=VALUE",
    )
    fit: Fit | None = setting(
        None,
        "Bring pictures of another size to their hint's: fill cuts off what does not fit, fit puts "
        "bars around, stretch bends. Without it such pictures are refused.",
    )
    out: Path = setting(
        Path("output/evaluation"), "Folder for report.json and report.html.", metavar="DIR"
    )
    overwrite: bool = setting(False, OVERWRITE)
    resolution: int = setting(
        0,
        "The shorter side at which the network looks; 0 is the preprocessor's own default.",
        low=0,
        **_MODEL,
    )
    model: str = setting(
        "", "Default: the first that is on this machine.", metavar="NAME", **_MODEL
    )
    models: tuple[Path, ...] = setting((Path("models"),), MODELS, metavar="DIR")
    download: bool = setting(
        False,
        "Download the preprocessor's model if it is not on this machine. Without this no request "
        "is made.",
        **_MODEL,
    )
    quality: QualityOptions = field(default_factory=QualityOptions)


@dataclass(frozen=True)
class Outcome:
    """A report, the rows of its page, and a sentence for each file that gave nothing."""

    report: Report
    rows: tuple[PageRow, ...]
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Ready:
    """Options that are known to be right, with networks loaded and `results` for the files."""

    options: EvaluateOptions
    results: Results
    pairing: Pairing
    extractor: Extractor
    metrics: tuple[Metric, ...]
    notes: tuple[str, ...] = ()


def prepare(options: EvaluateOptions) -> Ready:
    """Make everything ready to measure, and to write the report.

    Raises UserError for what is wrong with the options, and for what cannot be written or is in
    the way (`ground.ours`), before anything long is begun.
    """
    asked_for = _asked(options)
    if bool(options.hints) == bool(options.originals):
        raise UserError("give either --hints or --originals: what the pictures are held to.")
    entry, notes = finder_of(asked_for, options.models)
    as_json = bool(options.hints) and entry.finds_people
    hints = files_of(options.hints or options.originals, (".json",) if as_json else IMAGE_SUFFIXES)
    inputs = [file for group in options.groups for file in group.files]
    inputs += [*hints, *options.quality.files()]
    places = [options.out / name for name in (JSON_NAME, PAGE_NAME)]
    results = expecting(places, inputs, options.overwrite)
    settings = entry.settings_in_words(pairs_of(options.settings))
    _check_model_options(options, entry)
    pairing = pair(options.groups, hints, (entry.name,))
    paired = [path for row in pairing.rows for path in row.pictures if path]
    asked = metrics(options.quality, options.models, paired)
    made = (entry, settings, options.resolution, options.model, options.models)
    extractor = extractor_of(*made, options.download)
    told = (entry.told,) if entry.told else ()
    return Ready(options, results, pairing, extractor, asked, (*told, *notes))


def evaluate(ready: Ready, pool: Pool | None = None) -> Outcome:
    """Measure all pictures, in the processes of `pool` if it is given. Raises UserError where none
    could be measured; where only a figure of quality fails, that is among the failures.
    """
    options = ready.options
    groups = tuple(group.name for group in options.groups)
    measured = measure(
        groups,
        ready.pairing,
        ready.extractor,
        bool(options.originals),
        options.fit,
        Shared(pool, (options.model, options.models)) if pool else None,
    )
    report = Report(
        about=_about(options, ready.extractor),
        groups=groups,
        entries=measured.entries,
        quality=measured.sets,
        versions=versions(),
        notes=(*ready.notes, *options.quality.idle(), *_hidden(ready), *measured.notes),
    )
    report, failed = with_quality(report, ready.metrics)
    failures = (*measured.failures, *failed)
    report = replace(report, notes=(*report.notes, *failures))
    return Outcome(report, measured.rows, failures)


def _hidden(ready: Ready) -> tuple[str, ...]:
    """A note on hints with alpha, if there are any: a net saw their colours, those hidden by it,
    too."""
    found = []
    for hint in dict.fromkeys(row.hint for row in ready.pairing.rows):
        with contextlib.suppress(UserError):  # said when it is measured
            if ready.options.hints and hint.suffix.lower() != ".json" and upright_header(hint)[1]:
                found.append(hint)
    if not found:
        return ()
    hints = "1 hint has" if len(found) == 1 else f"{len(found)} hints have"
    words = f"{hints} an alpha channel, which is left out, as LoadImage does: {listing(found, 3)}"
    return (words,)


def write_report(outcome: Outcome, ready: Ready) -> tuple[Path, Path]:
    """Write report.json and report.html to the options' folder, which is made if need be."""
    data, page = (ready.options.out / name for name in (JSON_NAME, PAGE_NAME))
    text = json.dumps(MARKED | to_json(outcome.report), indent=1, allow_nan=False)
    ready.results.write(data, text.encode())
    ready.results.write(page, report_page(outcome.report, outcome.rows))
    return data, page


def _asked(options: EvaluateOptions) -> Preprocessor:
    """What is to find the condition again. Raises UserError unless it is told once, and for a
    finder that cannot be found."""
    entry, function, command = options.preprocessor, options.finder, options.finder_command
    given = sum(map(bool, (entry, function, command)))
    if not given:
        raise UserError(
            "say what finds the condition again: --preprocessor, or a finder of yours by --finder "
            f"or --finder-command. Where nothing finds it, {_GAIN.format('CONTROLNET')}."
        )
    if given > 1:
        raise UserError("give one of --preprocessor, --finder and --finder-command.")
    if entry is not None:
        if options.compare:
            raise UserError(
                f"--compare is for a finder of yours; {entry.name}'s hints are compared as "
                f"{entry.shows}."
            )
        return entry
    if function:
        function_at(function)
        return own_finder(function, FunctionFinder(function), options.compare or "picture")
    words_of(command)
    return own_finder(command, CommandFinder(command), options.compare or "picture")


def _check_model_options(options: EvaluateOptions, entry: Preprocessor) -> None:
    name, learning = entry.name, entry.learning
    if learning is None and (options.resolution or options.model or options.download):
        raise UserError(f"{name} has no network; leave out --resolution, --model and --download.")
    if not entry.downloads and (options.model or options.download):
        raise UserError(f"{name}'s weights ship with ControlStack; leave out --model, --download.")
    if learning is not None and options.resolution and not learning.any_size:
        raise UserError(f"{name}'s network looks at one size only; leave out --resolution.")


def _about(
    options: EvaluateOptions, extractor: Extractor
) -> dict[str, Value | Mapping[str, Value]]:
    entry = extractor.entry
    about: dict[str, Value | Mapping[str, Value]] = {
        "preprocessor": entry.name,
        "settings": dict(extractor.settings),
        "compared as": entry.shows,
        "hints": "made of the originals" if options.originals else "given",
        "pictures of another size": options.fit or "refused",
    }
    if entry.learning is not None:
        first = "the first found" if entry.downloads else entry.learning.models[0].name
        about |= {"model": options.model or first, "resolution": options.resolution}
    return about
