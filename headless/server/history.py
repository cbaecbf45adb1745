"""What became of prompts: kept in memory and in a file, which a killed process leaves whole.

The file has a line for each change and is only added to, so that at most its last line can be torn;
such a line is passed over. Opened with lines that say nothing any more, it is written anew, whole
or not at all.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...ground.atomic import write_atomic
from ...ground.errors import UserError
from ...ground.log import log
from .packed import pack, text_of, unpack

MOST = 10_000
"""Entries that are kept; older ones go. ComfyUI's own number (`execution.py`)."""
FORGOTTEN = "forgotten"


@dataclass(frozen=True)
class Past:
    """A job that ended: its id, what `/jobs` says of it, and the packed JSON of `/history`."""

    id: str
    summary: dict[str, Any]
    entry: bytes

    @property
    def told(self) -> str:
        """The JSON of `/history`: prompt, outputs, status, meta."""
        return unpack(self.entry)


class History:
    """Jobs that ended, oldest first. May be asked from every thread."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._past, lines = _read(file)
        self._trim()
        if lines != len(self._past):
            self._rewrite()

    def add(self, job_id: str, summary: dict[str, Any], entry: str) -> None:
        """A job has ended; `entry` is the JSON of `/history`."""
        past = Past(job_id, summary, pack(entry))
        with self._lock:
            self._past.pop(job_id, None)
            self._past[job_id] = past
            self._trim()
            self._append(_line(past))

    def get(self, job_id: str) -> Past | None:
        """The job of this id, if it has ended."""
        with self._lock:
            return self._past.get(job_id)

    def all(self) -> list[Past]:
        """All of them, oldest first."""
        with self._lock:
            return list(self._past.values())

    def page(self, most: int | None, offset: int) -> list[Past]:
        """`most` of them from number `offset` on, or where that is negative the last ones."""
        found = self.all()
        if most is None:
            return found[max(offset, 0) :]
        start = len(found) - most if offset < 0 else offset
        return found[max(start, 0) :][: max(most, 0)]

    def forget(self, ids: Iterable[str]) -> None:
        """Delete those of `ids` that are there."""
        with self._lock:
            gone = [job_id for job_id in ids if self._past.pop(job_id, None)]
            self._append("".join(f"{FORGOTTEN}\t{text_of(job_id)}\n" for job_id in gone))

    def clear(self) -> None:
        """Delete all."""
        with self._lock:
            self._past.clear()
            self._rewrite()

    def _trim(self) -> None:
        while len(self._past) > MOST:
            del self._past[next(iter(self._past))]

    def _append(self, lines: str) -> None:
        """A disk that takes no more loses what is written here, and not what is in memory."""
        if not lines:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            before = self._file.stat().st_size if self._file.exists() else 0
            try:
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(lines)
            except OSError:
                with self._file.open("r+b") as file:  # half a line would spoil the next one
                    file.truncate(before)
                raise
        except OSError as error:
            log.warning("%s is not written: %s", self._file, error.strerror or error)

    def _rewrite(self) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._file, "".join(map(_line, self._past.values())).encode())
        except (OSError, UserError) as error:
            log.warning("%s is not written: %s", self._file, error)


def _line(past: Past) -> str:
    entry = base64.b64encode(past.entry).decode()
    return f"{text_of(past.id)}\t{text_of(past.summary)}\t{entry}\n"


def _read(file: Path) -> tuple[dict[str, Past], int]:
    """What the lines of `file` leave, and how many there are, a torn one included."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return {}, 0
    found: dict[str, Past] = {}
    for line in lines[:-1]:
        try:
            head, *rest = line.split("\t")
            if head == FORGOTTEN:
                found.pop(json.loads(rest[0]), None)
                continue
            past = Past(
                str(json.loads(head)), json.loads(rest[0]), base64.b64decode(rest[1], validate=True)
            )
            found.pop(past.id, None)
            found[past.id] = past
        except (ValueError, IndexError, TypeError) as error:
            log.warning("%s has a line that cannot be read: %s", file, error)
    return found, len(lines) - (lines[-1] == "")
