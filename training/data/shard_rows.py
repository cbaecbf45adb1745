"""Rows in tar files, as webdataset lays them out: what has one name up to its first point is one
row, and what follows says what it is: 000.jpg, 000.txt, 000.hint.png.

Source of the rule: webdataset, `base_plus_ext` (https://github.com/webdataset/webdataset), and
https://huggingface.co/docs/hub/datasets-webdataset.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from ...ground.errors import UserError
from ...ground.inputs import WILD, find_inputs
from ...ground.progress import Progress
from ...ground.structured import read_json
from ...ground.wording import listing
from ..settings import DataSettings
from . import columns
from .cache import digest
from .caption_rows import CAPTIONS
from .captions import LONGEST, captions_of
from .condition import looks_for_hints
from .file_names import typed
from .row import PICTURES, POSES, Bad, Row, Rows
from .tar_index import Index, Member, compressed, index_of

ENDING = ".tar"
PACKED = {
    ".tgz": "gzip",
    ".tar.gz": "gzip",
    ".tar.bz2": "bzip2",
    ".tar.xz": "xz",
    ".tar.zst": "zstd",
}
BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
MOST = 1_000_000
"""Names that braces may stand for."""
TABLE = ".json"
"""The ending of a row's table of texts."""

Fields: TypeAlias = Mapping[str, Member]
"""A row's files by what follows their name's first point, such as "hint.png"."""


@dataclass
class _Sample:
    where: str
    fields: dict[str, Member] = field(default_factory=dict)
    why: str = ""


def is_pattern(path: str) -> bool:
    """Whether `path` stands for several files: `{00..12}`, `{a,b}`, `*`, `?` or `[ab]` in it."""
    return bool(WILD & set(path)) or BRACES.search(path) is not None


def has_shards(folder: Path, split: str) -> bool:
    """Whether `folder`, or its folder for `split`, holds tar files, or is one; compressed ones
    count, of which more is said when they are read."""
    return bool(_listed(folder, split))


def read_shards(settings: DataSettings, progress: Progress) -> Rows:
    """The rows of the tar files that `settings.path` names: a folder, a file or a pattern.

    With `max_rows` no more tar files are looked at than these rows need. Raises UserError where
    there is none, for one that is compressed or no tar file, and for a hint_column that no row has.
    """
    folder = typed(settings.path, "the training data")
    shards = _shards(folder, settings)
    samples: list[_Sample] = []
    bad: list[Bad] = []
    with progress(len(shards), "listing what is in the shards") as bar:
        for shard in shards:
            index = index_of(shard, _kept_in(shard, settings))
            samples += _samples(index)
            if index.end:
                bad.append(Bad(shard.name, index.end))
            bar.advance()
            if settings.max_rows and len(samples) >= settings.max_rows:
                break
    chosen = _Chosen(settings)
    given = any(chosen.hints(sample.fields) for sample in samples)
    if settings.hint_column and chosen.wants_hints and samples and not given:
        names = {name: None for sample in samples for name in sample.fields}
        raise UserError(
            f"{folder} has no files {settings.hint_column}, which hint_column names; it has "
            f"{listing(names)}."
        )
    made = [_row(sample, chosen, given) for sample in samples]
    split = settings.split if shards[0].parent == folder / settings.split else ""
    return Rows.of("shards", str(folder), [*made, *bad], split)


def _kept_in(shard: Path, settings: DataSettings) -> Path | None:
    """Where the cache keeps a tar file's index; None without a cache, for beside it."""
    if not settings.cache:
        return None
    return typed(settings.cache, "the cache") / "shards" / f"{digest(shard.resolve())}.json"


def _shards(folder: Path, settings: DataSettings) -> Sequence[Path]:
    if folder.exists():
        shards = _listed(folder, settings.split)
        if not shards:
            raise UserError(f"{folder} has no files *{ENDING}, which the layout shards needs.")
    else:
        found = find_inputs(list(_expanded(str(folder))), {ENDING})
        if found.failures:
            raise UserError(found.failures[0], found.failures[1:11])
        shards = list(found.files)
    for shard in shards:
        if how := _packed(shard):
            raise compressed(shard, how)
    return shards


def _listed(folder: Path, split: str) -> list[Path]:
    if folder.is_file():
        return [folder] if folder.suffix.lower() == ENDING or _packed(folder) else []
    for place in (folder, folder / split):
        files = [path for path in place.glob("[!.]*") if path.is_file()] if place.is_dir() else []
        plain = [path for path in files if path.suffix.lower() == ENDING]
        if found := plain or [path for path in files if _packed(path)]:
            return sorted(found)
    return []


def _packed(path: Path) -> str:
    """How a tar file is compressed, told by its name; "" for others."""
    name = path.name.lower()
    return next((how for ending, how in PACKED.items() if name.endswith(ending)), "")


def _expanded(pattern: str) -> Iterator[str]:
    """The names that braces stand for, as in a shell: `{08..10}` is 08, 09 and 10."""
    parts = BRACES.split(pattern)
    choices = [[part] if number % 2 == 0 else _choices(part) for number, part in enumerate(parts)]
    total = 1
    for several in choices:
        total *= len(several)
    if total > MOST:
        raise UserError(f"{pattern} stands for {total} files; at most {MOST} are read.")
    yield from map("".join, product(*choices))


def _choices(inner: str) -> Sequence[str]:
    if (told := RANGE.fullmatch(inner)) is None:
        return inner.split(",")
    first, last = told.groups()
    numbers = range(int(first), int(last) + 1)
    if not 0 < len(numbers) <= MOST:
        raise UserError(f"{{{inner}}} stands for {len(numbers)} files; from 1 to {MOST} are read.")
    width = len(first) if first.startswith("0") or len(first) == len(last) else 0
    return [f"{number:0{width}}" for number in numbers]


def _samples(index: Index) -> Iterable[_Sample]:
    """What is in a tar file by its names, in the order in which they begin."""
    found: dict[str, _Sample] = {}
    for name, offset, size, why in index.entries:
        parts = PurePosixPath(name)
        if not why and any(part.startswith(".") for part in parts.parts):
            continue  # as macOS leaves them
        base, _, ending = parts.name.partition(".")
        if not ending and not why:
            continue  # a README
        key = str(parts.with_name(base)) if base else name
        sample = found.setdefault(key, _Sample(f"{index.shard.path.name}, {key}"))
        if why or ending.lower() in sample.fields:
            sample.why = sample.why or f"{name}: {why or 'it is there twice; keep one of them'}"
        else:
            sample.fields[ending.lower()] = Member(index.shard, name, offset, size)
    return found.values()


@dataclass(frozen=True)
class _Chosen:
    """Which of a row's files its picture, hint and caption are."""

    settings: DataSettings

    @property
    def wants_hints(self) -> bool:
        return looks_for_hints(self.settings)

    def pictures(self, fields: Fields) -> list[Member]:
        """Those that may be the row's picture: one, if all is well."""
        return _first(fields, self.settings.image_column, ("", *columns.IMAGES), PICTURES)

    def hints(self, fields: Fields) -> list[Member]:
        """Those that may be its hint; none where no hint is looked for."""
        if not self.wants_hints:
            return []
        return _first(fields, self.settings.hint_column, columns.HINTS, (*PICTURES, POSES))

    def captions(self, fields: Fields) -> tuple[str, ...]:
        """Its captions: a text's, or those of its table. Raises UserError where there is none."""
        wanted = self.settings.caption_column
        texts = _first(fields, wanted, ("", *columns.CAPTIONS), CAPTIONS)
        if texts:
            return (" ".join(_text(texts[0]).split()),)
        table = fields.get(TABLE[1:])
        if table is None:
            raise UserError(f"no caption: it has {listing(fields)}, and neither a .txt nor a .json")
        told = read_json(_text(table), str(table.name), "table of a row")
        names = (wanted,) if wanted else columns.CAPTIONS
        name = next((one for one in names if isinstance(told, dict) and one in told), None)
        if name is None:
            raise UserError(f"no caption: {table.inner} has none of {', '.join(names)}")
        assert isinstance(told, dict)
        return captions_of(told[name], name)


def _first(
    fields: Fields, wanted: str, usual: Sequence[str], endings: Sequence[str]
) -> list[Member]:
    """The files of the kinds `endings` that are called `wanted` ("hint", or in whole "hint.png")
    or, if nothing is wanted, by the first of the `usual` names that a file has."""
    kinds = {
        name: stem
        for name in fields
        for stem, _, ending in (name.rpartition("."),)
        if f".{ending}" in endings
    }
    if wanted:
        return [fields[name] for name, stem in kinds.items() if wanted.lower() in (name, stem)]
    for one in usual:
        if found := [fields[name] for name, stem in kinds.items() if stem == one]:
            return found
    return []


def _text(member: Member) -> str:
    if member.size > LONGEST:
        raise UserError(f"{member.inner} has {member.size} bytes; of texts {LONGEST} are read")
    try:
        return member.content().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{member.inner} is no text in UTF-8; save it as such") from None


def _row(sample: _Sample, chosen: _Chosen, given: bool) -> Row | Bad:
    fields = sample.fields
    pictures, hints = chosen.pictures(fields), chosen.hints(fields)
    try:
        if sample.why:
            raise UserError(sample.why)
        picture = _only(pictures, "picture", "image_column", fields)
        hint = _only(hints, "hint", "hint_column", fields) if given else None
        return Row(sample.where, picture, hint, chosen.captions(fields))
    except UserError as error:
        return Bad.of(sample.where, error)


def _only(found: Sequence[Member], what: str, key: str, fields: Fields) -> Member:
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(
            f"no {what}: it has {listing(fields)} (a name ends at its first point); name what the "
            f"{what}s' have with {key}"
        )
    names = " and ".join(PurePosixPath(one.inner).name for one in found[:2])
    raise UserError(f"{names} may both be its {what}; name one's ending with {key}")
