"""Files that give pictures their prompts, in the forms that people have them in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PureWindowsPath

from ...ground.errors import UserError
from ...ground.reading import read_text
from ...ground.structured import read_csv, read_json
from ...ground.wording import listing, shown
from .pairing import known_start, spelt

FILE_KEYS = ("file_name", "target", "image", "file", "picture", "name")
"""What the file is called: by `datasets`' imagefolder, fill50k, and by hand."""
PROMPT_KEYS = ("prompt", "text", "caption")


def read_prompts(path: Path) -> dict[str, str]:
    """File name without ending, in small letters -> prompt.

    `path` is JSON (an object of names and prompts, or objects with a file and a prompt, in a list
    or one a line), CSV with a line of headings, or text with `name: prompt` in each line. Raises
    UserError for what cannot be read, with its line, and for a name that is there twice.
    """
    text = read_text(path, "the prompts")
    ending = path.suffix.lower()
    if ending in (".json", ".jsonl"):
        pairs = _from_json(path, text)
    elif ending == ".csv":
        pairs = _from_objects(path, read_csv(text, str(path)))
    else:
        pairs = _from_lines(path, text)
    found: dict[str, str] = {}
    for name, prompt in pairs:
        key = spelt(PureWindowsPath(name).stem)  # which may have either separator
        if key in found:
            raise UserError(f"{path} has two prompts for {shown(key)}; keep one of them.")
        found[key] = prompt
    if not found:
        raise UserError(f"{path} holds no prompts.")
    return found


def prompts_of(files: Iterable[Path], prompts: Mapping[str, str], source: Path) -> list[str]:
    """The prompt of each file: that of its name, or of the longest name that its own begins with.

    Raises UserError, naming the files without one.
    """
    keys = {file: known_start(file, prompts) for file in files}
    missing = [file.name for file, key in keys.items() if key is None]
    if missing:
        raise UserError(
            f"{source} has no prompt for {listing(missing, 5)}; add a line for each, by the "
            "picture's name."
        )
    return [prompts[key] for key in keys.values() if key is not None]


def _from_json(path: Path, text: str) -> Iterator[tuple[str, str]]:
    try:
        data = read_json(text, str(path), "file of prompts")
    except UserError as whole:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            data = [read_json(line, str(path), "file of prompts") for line in lines]
        except UserError:
            raise UserError(f"{path} is neither JSON nor JSON lines: {whole.sentence}") from whole
    if isinstance(data, Mapping) and all(isinstance(value, str) for value in data.values()):
        yield from ((name, str(prompt)) for name, prompt in data.items())
    else:
        yield from _from_objects(path, enumerate(data if isinstance(data, list) else [data], 1))


def _from_objects(path: Path, rows: Iterable[tuple[int, object]]) -> Iterator[tuple[str, str]]:
    for number, row in rows:
        name = _of(row, FILE_KEYS)
        prompt = _of(row, PROMPT_KEYS)
        if name is None or prompt is None:
            raise UserError(
                f"{path}, row {number}, has no file and prompt; give it {' or '.join(FILE_KEYS)} "
                f"and {' or '.join(PROMPT_KEYS)}."
            )
        yield name, prompt


def _of(row: object, keys: Iterable[str]) -> str | None:
    if not isinstance(row, Mapping):
        return None
    return next((row[key] for key in keys if isinstance(row.get(key), str)), None)


def _from_lines(path: Path, text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, colon, prompt = line.partition("\t" if "\t" in line else ":")
        if not colon:
            raise UserError(f"{path}, line {number}, is not `name: prompt`: {shown(line)}.")
        yield name.strip(), prompt.strip()
