"""A blind ranking study as files: a page for raters, its key, and the ranks read back."""

from __future__ import annotations

import hashlib
import json
import math
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass
from pathlib import Path

from ...ground.errors import UserError
from ...ground.inputs import files_of
from ...ground.lock import working_in
from ...ground.ours import MARKED, expecting
from ...ground.parameters import OVERWRITE, setting
from ...ground.reading import read_bytes, read_text
from ...ground.reporter import reporter
from ...ground.wording import listing
from ...preprocessors.picture_files import first_frame, pixels
from ...preprocessors.registry import PREPROCESSORS
from ..html import data_uri, render, webp
from ..study import CRITERIA, Study, key_json, make_study, page_data, read_key
from ..study_answers import Answers, Result, check_raters, read_answers, result
from .extraction import read_hint
from .pairing import Group, Pairing, Row, groups_of, pair
from .prompts import prompts_of, read_prompts

PAGE, KEY, RESULT, RESULT_PAGE = "study.html", "key.json", "result.json", "result.html"
LONGEST, QUALITY = 1024, 92
"""Pixels of a picture's longer side on the page, and WebP's quality, of 100: no artefacts to be
seen, and a page of 20 rows of five pictures of 512 px is 6 MB."""


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """What `controlstack study make` is asked: its arguments and options are declared here."""

    groups: tuple[Group, ...] = setting(
        MISSING,
        "Folders of pictures, one for each method, named after it or by NAME=FOLDER.",
        metavar="METHODS",
        argument=True,
        read=groups_of,
    )
    hints: tuple[Path, ...] = setting(
        MISSING,
        "The hints that the pictures were made from, named as the pictures: a folder, file or "
        "glob.",
        metavar="DIR",
        read=files_of,
    )
    out: Path = setting(Path("output/study"), "Folder for the page and its key.", metavar="DIR")
    overwrite: bool = setting(False, OVERWRITE)
    rows: int = setting(20, "Hints to ask at most.", low=1)
    seed: int = setting(0, "Decides the order of the pictures, with the key.", low=0)
    prompts: Path | None = setting(
        None,
        "Show the prompts in this file, by hint's name: JSON, JSON lines, CSV, or lines of `name: "
        "prompt`.",
        metavar="FILE",
    )
    title: str = setting("Which is better?", "What the page is called.")


def write_study(options: StudyOptions) -> tuple[tuple[Path, Path], tuple[str, ...]]:
    """Write study.html, for raters, and key.json, for whoever makes the study, to the options'
    folder.

    Made again of the same, with the key there, it is the same page. Returns both, and sentences
    about what was left out. Raises UserError for what cannot be read, for files in the way
    (`ground.ours`), and where the folder has the key of another study, whose answers could then not
    be read any more.
    """
    page, key = options.out / PAGE, options.out / KEY
    inputs = [*options.hints, *(file for group in options.groups for file in group.files)]
    inputs += [options.prompts] if options.prompts else []
    results = expecting((page, key), inputs, options.overwrite)
    pairing = pair(options.groups, options.hints, tuple(PREPROCESSORS))
    rows, notes = _chosen(options, pairing)
    prompts = _prompts(options.prompts, rows)
    shown = _shown(rows)
    content = _digest(options, [*(one.digest for row in shown for one in row), *prompts])
    files = [(row.name, str(row.hint), [str(path) for path in row.pictures]) for row in rows]
    methods = [group.name for group in options.groups]
    make_study(methods, files, content, "")  # what is wrong is said before the folder is made
    with working_in(options.out, "making a study"):
        known = _known(key, options.overwrite)
        secret = known.secret if known is not None else secrets.token_hex(16)
        study = make_study(methods, files, content, secret)
        if known is not None and known.study != study.study:
            raise UserError(
                f"{key} belongs to another study, whose ranks cannot be read without it: name "
                "another folder with --out."
            )
        data = page_data(study, *_by_id(study, shown, prompts))
        results.write(key, json.dumps(key_json(study), indent=1).encode())
        results.write(page, render("study.html", title=options.title, data=data))
    return (page, key), notes


def read_study(
    folder: Path,
    files: Sequence[Path],
    overwrite: bool = False,
    tell: Callable[[Result], None] = lambda found: None,
) -> tuple[Result, tuple[Path, Path]]:
    """Read the raters' `files` with the key in `folder`, `tell` the result, and write result.json
    and result.html there.

    Raises UserError, with a line for each file that cannot be counted, and counts none then; for
    files in the way (`ground.ours`).
    """
    key, written = folder / KEY, (folder / RESULT, folder / RESULT_PAGE)
    if not key.is_file():
        raise UserError(f"{folder} has no {KEY}; name the folder that `study make` wrote.")
    results = expecting(written, (key, *files), overwrite)
    study = read_key(read_text(key, "the key"), str(key))
    found = result(_answers(study, files))
    tell(found)
    titles = {criterion.name: criterion.title for criterion in CRITERIA}
    page = render(
        "study_result.html", title="Average human rank", study=study, result=found, titles=titles
    )
    with working_in(folder, "reading a study"):
        results.write(written[0], json.dumps(result_json(study, found), indent=1).encode())
        results.write(written[1], page)
    return found, written


def result_json(study: Study, found: Result) -> dict[str, object]:
    """The result for `json.dumps`; what one rater's answers do not tell is null."""
    return {
        **MARKED,
        "study": study.study,
        "rows": len(study.rows),
        "raters": list(found.raters),
        "ranks": {
            criterion: [_finite(asdict(rank)) for rank in ranks]
            for criterion, ranks in found.ranks.items()
        },
        "notes": list(found.notes),
    }


def _finite(values: Mapping[str, object]) -> dict[str, object]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


@dataclass(frozen=True)
class _Shown:
    """A picture as the page has it: its address, which holds it, and what tells it from others."""

    source: str
    digest: str


def _chosen(options: StudyOptions, pairing: Pairing) -> tuple[list[Row], tuple[str, ...]]:
    """The rows that are asked, and what a person should know of the others."""
    whole = [row for row in pairing.rows if None not in row.pictures]
    notes = []
    if len(whole) < len(pairing.rows):
        notes.append(
            f"{len(pairing.rows) - len(whole)} of {len(pairing.rows)} rows lack a method's picture "
            "and are left out"
        )
    if len(whole) > options.rows:
        notes.append(
            f"{options.rows} of {len(whole)} rows are asked, drawn with seed {options.seed}"
        )
        chosen = set(random.Random(options.seed).sample(range(len(whole)), options.rows))
        whole = [row for number, row in enumerate(whole) if number in chosen]
    if pairing.lone_pictures:
        names = listing((path.name for path in pairing.lone_pictures), 5)
        notes.append(f"no hint for {len(pairing.lone_pictures)} pictures, left out: {names}")
    return whole, tuple(notes)


def _shown(rows: Sequence[Row]) -> list[list[_Shown]]:
    """Of each row the hint and then all pictures, encoded anew: files as ComfyUI writes them tell
    in their metadata how they were made.
    """
    found = []
    with reporter().steps(len(rows), "pictures") as bar:
        for row in rows:
            found.append([_one(row.hint, True), *(_one(p, False) for p in row.pictures if p)])
            bar.advance()
    return found


def _one(path: Path, is_hint: bool) -> _Shown:
    content = read_bytes(path, "the picture")
    if is_hint:
        drawn = read_hint(path, path.suffix.lower() == ".json", content).drawn
    else:
        drawn = pixels(first_frame(path, content)[0])
    source = data_uri(webp(drawn, LONGEST, QUALITY))
    return _Shown(source, hashlib.sha256(content).hexdigest())


def _digest(options: StudyOptions, parts: Sequence[str]) -> str:
    """Tells apart what raters are shown, and in what order of methods and by which seed."""
    methods = [group.name for group in options.groups]
    said = json.dumps([options.title, options.seed, methods, *parts])
    return hashlib.sha256(said.encode()).hexdigest()


def _known(key: Path, overwrite: bool) -> Study | None:
    """The study whose key is there; a file that is none may be replaced where the user says so."""
    if not key.exists():
        return None
    try:
        return read_key(read_text(key, "the key"), str(key))
    except UserError:
        if overwrite:
            return None
        raise


def _by_id(
    study: Study, shown: Sequence[Sequence[_Shown]], prompts: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The addresses of pictures and hints, and the rows' prompts, by their ids."""
    sources = {}
    for question, (hint, *pictures) in zip(study.rows, shown, strict=True):
        sources[question.id] = hint.source
        by_method = dict(zip(study.methods, pictures, strict=True))
        sources |= {one.id: by_method[one.method].source for one in question.pictures}
    return sources, {q.id: text for q, text in zip(study.rows, prompts, strict=bool(prompts))}


def _prompts(file: Path | None, rows: Sequence[Row]) -> list[str]:
    """Each row's prompt; none where no file has any."""
    return prompts_of([row.hint for row in rows], read_prompts(file), file) if file else []


def _answers(study: Study, files: Sequence[Path]) -> list[Answers]:
    answers: dict[str, Answers] = {}
    failures: list[str] = []
    for file in files:
        try:
            answers[str(file)] = read_answers(study, read_text(file, "the ranks"), str(file))
        except UserError as error:
            failures.append(str(error))
    try:
        check_raters(answers)
    except UserError as error:
        failures.append(str(error))
    if failures:
        raise UserError("Nothing was counted:", failures)
    return list(answers.values())
