"""Rows on Ray: each process keeps its models, hints and prompts.

Processes find models and input pictures under the paths that they have on the driver's machine.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..ground.cluster import Pool
from .plan import Row
from .record import Record, Store, picture_name
from .sweep import Runner
from .work import Job, Worker


class SweepActor:
    """Runs rows in a process of Ray's."""

    def __init__(self, job: Job, folder: str) -> None:
        """`folder` is that of the sweep where it is shared, "" where pictures are sent back."""
        self._pictures: list[tuple[int, bytes]] = []
        self._store = Store(Path(folder)) if folder else None
        self._home = TemporaryDirectory(dir=self._store.scratch if self._store else None)
        self._worker = Worker(job, Path(self._home.name), self._keep)

    def run(self, row: Row) -> tuple[Record, list[tuple[int, bytes]]]:
        """A row's record, and its pictures with their numbers, where they are sent back."""
        self._pictures = []
        return self._worker.run(row), self._pictures

    def _keep(self, address: str, number: int, path: Path) -> str:
        if self._store is not None:
            return self._store.keep(address, number, path)
        self._pictures.append((number, path.read_bytes()))
        path.unlink()
        return picture_name(address, number)


def on(pool: Pool, shared: bool = False, worker: type[Any] = SweepActor) -> Runner:
    """A runner for `sweep` that runs rows on Ray's processes, each of them a `worker`.

    With `shared` they write pictures into the folder of the sweep themselves, which then has to be
    the same one on all machines.
    """

    def run(rows: Iterable[Row], job: Job, store: Store) -> Generator[Record, None, None]:
        folder = str(store.folder.absolute()) if shared else ""
        with closing(pool.run(worker, (job, folder), rows)) as results:
            for result in results:
                if result.died:
                    yield Record(result.item.address, result.item.settings, error=result.died)
                    continue
                record, pictures = result.value
                for number, picture in pictures:
                    store.keep(record.address, number, picture)
                yield record

    return run
