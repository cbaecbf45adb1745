"""A blind ranking study as files: a page for raters, its key, and the ranks read back."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ...ground.atomic import write_atomic
from ...ground.errors import UserError
from ...ground.reporter import reporter
from ...ground.wording import listing
from ...preprocessors.picture_files import first_frame
from ...preprocessors.registry import PREPROCESSORS
from ..html import data_uri, render, webp
from ..study import CRITERIA, Study, key_json, make_study, page_data, read_key
from ..study_answers import Answers, Result, check_raters, read_answers, result
from .extraction import read_hint
from .pairing import Group, Row, pair
from .prompts import prompts_of, read_prompts

PAGE, KEY, RESULT, RESULT_PAGE = "study.html", "key.json", "result.json", "result.html"
LONGEST, QUALITY = 1024, 92
"""Pixels of a picture's longer side on the page, and WebP's quality, of 100: no artefacts to be
seen, and a page of 20 rows of five pictures of 512 px is 6 MB."""


@dataclass(frozen=True)
class StudyOrder:
    """The methods' pictures, the hints that they were made from, and how many rows to ask at most.

    `seed` decides which rows are asked where there are more, and the order of their pictures.
    """

    groups: tuple[Group, ...]
    hints: tuple[Path, ...]
    rows: int
    seed: int
    title: str
    prompts: Path | None = None


def write_study(order: StudyOrder, out: Path) -> tuple[tuple[Path, Path], tuple[str, ...]]:
    """Write study.html, for raters, and key.json, for whoever makes the study, to the folder `out`.

    Returns both, and sentences about what was left out. Raises UserError for what cannot be read,
    and where `out` has the key of another study, whose answers could then not be read any more.
    """
    pairing = pair(order.groups, order.hints, tuple(PREPROCESSORS))
    whole = [row for row in pairing.rows if None not in row.pictures]
    notes = []
    if len(whole) < len(pairing.rows):
        notes.append(
            f"{len(pairing.rows) - len(whole)} of {len(pairing.rows)} rows lack a method's picture "
            "and are left out"
        )
    if len(whole) > order.rows:
        notes.append(f"{order.rows} of {len(whole)} rows are asked, drawn with seed {order.seed}")
        chosen = set(random.Random(order.seed).sample(range(len(whole)), order.rows))
        whole = [row for number, row in enumerate(whole) if number in chosen]
    if pairing.lone_pictures:
        names = listing((path.name for path in pairing.lone_pictures), 5)
        notes.append(f"no hint for {len(pairing.lone_pictures)} pictures, left out: {names}")
    study = make_study(
        [group.name for group in order.groups],
        [(row.name, str(row.hint), [str(path) for path in row.pictures]) for row in whole],
        order.seed,
    )
    key = json.dumps(key_json(study), indent=1)
    _check_free(out / KEY, study)
    data = page_data(study, _sources(study), _prompts(order.prompts, study, whole))
    page = render("study.html", title=order.title, data=data)
    _make(out)
    write_atomic(out / KEY, key.encode())
    write_atomic(out / PAGE, page.encode())
    return (out / PAGE, out / KEY), tuple(notes)


def read_study(folder: Path, files: Sequence[Path]) -> tuple[Result, tuple[Path, Path]]:
    """Read the raters' `files` with the key in `folder`, and write result.json and result.html
    there.

    Raises UserError, with a line for each file that cannot be counted, and counts none then.
    """
    key = folder / KEY
    if not key.is_file():
        raise UserError(f"{folder} has no {KEY}; name the folder that `study make` wrote.")
    study = read_key(key.read_text(encoding="utf-8"), str(key))
    answers: dict[str, Answers] = {}
    failures: list[str] = []
    for file in files:
        try:
            answers[str(file)] = read_answers(study, _text(file), str(file))
        except UserError as error:
            failures.append(str(error))
    try:
        check_raters(answers)
    except UserError as error:
        failures.append(str(error))
    if failures:
        raise UserError("Nothing was counted:", failures)
    found = result(list(answers.values()))
    written = folder / RESULT, folder / RESULT_PAGE
    write_atomic(written[0], json.dumps(result_json(study, found), indent=1).encode())
    titles = {criterion.name: criterion.title for criterion in CRITERIA}
    page = render(
        "study_result.html",
        title="Average human rank",
        study=study,
        result=found,
        titles=titles,
    )
    write_atomic(written[1], page.encode())
    return found, written


def result_json(study: Study, found: Result) -> dict[str, object]:
    """The result for `json.dumps`; what one rater's answers do not tell is null."""
    return {
        "study": study.id,
        "rows": len(study.questions),
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


def _check_free(key: Path, study: Study) -> None:
    if key.exists() and read_key(key.read_text(encoding="utf-8"), str(key)) != study:
        raise UserError(
            f"{key} belongs to another study, whose ranks cannot be read without it: name another "
            "folder with --out."
        )


def _sources(study: Study) -> dict[str, str]:
    """Every picture and hint as an address that holds it, encoded anew: files as ComfyUI writes
    them tell in their metadata how they were made.
    """
    found: dict[str, str] = {}
    with reporter().steps(len(study.questions), "pictures") as bar:
        for question in study.questions:
            hint = Path(question.hint)
            seen = read_hint(hint, hint.suffix.lower() == ".json")
            found[question.id] = data_uri(webp(seen.drawn, LONGEST, QUALITY))
            for one in question.candidates:
                frame, _ = first_frame(Path(one.file))
                picture = np.array(frame.convert("RGB"))
                found[one.id] = data_uri(webp(picture, LONGEST, QUALITY))
            bar.advance()
    return found


def _prompts(file: Path | None, study: Study, rows: Sequence[Row]) -> dict[str, str]:
    if file is None:
        return {}
    texts = prompts_of([row.hint for row in rows], read_prompts(file), file)
    return {question.id: text for question, text in zip(study.questions, texts, strict=True)}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is no text; give the file that the page saves.") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be made: {error.strerror}.") from error
