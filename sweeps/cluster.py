"""Rows on Ray: actors that each keep their models, on this machine or on a cluster.

Ray hands a row to each actor that is free, and gives the row of one that dies to the same actor,
started anew; nothing of that is done here. Actors find models and input pictures under the paths
that they have on the machine of the driver.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..ground.errors import UserError
from ..ground.wording import first_line
from .plan import Row
from .record import Record, Store, picture_name
from .sweep import Runner
from .work import Job, Worker

LOCAL, AUTO = "local", "auto"
"""Addresses that are none: a Ray of our own on this machine, and the one that runs here."""
RETRIES = 3
"""How often Ray runs a row again whose actor has died."""
AHEAD = 2
"""Rows an actor that wait in the driver, so that nobody waits for the next one to be planned."""
PATIENCE = 5.0
"""Seconds in which a cluster's head has to answer."""
STORE_BYTES = 200_000_000
"""Of the object store of a Ray that is started here: pictures go through it one by one."""
MISSING = 'Ray is not installed: pip install "controlstack[cluster]"'


@dataclass(frozen=True)
class Cluster:
    """How rows are shared out.

    Args:
        address: LOCAL, AUTO, HOST:PORT of a cluster's head, or ray://HOST:PORT.
        actors: how many; 0 for as many as the cores allow.
        cores: of an actor; torch computes with as many threads.
        shared: whether actors write pictures into the folder of the sweep themselves, which then
            has to be the same one on all machines.
    """

    address: str
    actors: int = 0
    cores: int = 1
    shared: bool = False


class SweepActor:
    """Runs rows in a process of Ray's."""

    def __init__(self, job: Job, cores: int, folder: str) -> None:
        """`folder` is that of the sweep where it is shared, "" where pictures are sent back."""
        import torch

        torch.set_num_threads(cores)
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


@contextmanager
def joined(cluster: Cluster, actor: type[Any] = SweepActor) -> Iterator[Runner]:
    """Join or start Ray for the block; gives a runner for `sweep`. `actor` runs the rows.

    A Ray that was started here ends with the block. Raises UserError without Ray, where nobody
    answers at the address, and where an actor would need more cores than any machine has.
    """
    try:
        import ray
    except ImportError:
        raise UserError(MISSING) from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers of each start
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if cluster.address == LOCAL:
            ray.init(include_dashboard=False, object_store_memory=STORE_BYTES, **quiet)
        else:
            _require_answer(cluster.address)
            ray.init(address=cluster.address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"no Ray answers at {cluster.address} ({first_line(error)}); start one with `ray start "
            "--head`, or say --ray alone to start one here"
        ) from error
    try:
        count = _actors(cluster, ray.nodes())

        def runner(rows: Iterable[Row], job: Job, store: Store) -> Generator[Record, None, None]:
            return _run(cluster, _Made(actor, count), rows, job, store)

        yield runner
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class _Made:
    """So many actors of a class."""

    kind: type[Any]
    count: int


def _run(
    cluster: Cluster, made: _Made, rows: Iterable[Row], job: Job, store: Store
) -> Generator[Record, None, None]:
    import ray
    from ray.exceptions import RayActorError
    from ray.util import ActorPool

    kind = ray.remote(made.kind).options(
        num_cpus=cluster.cores, max_restarts=-1, max_task_retries=RETRIES
    )
    folder = str(store.folder.absolute()) if cluster.shared else ""
    given = _absolute(job)
    actors = [kind.remote(given, cluster.cores, folder) for _ in range(made.count)]
    pool, coming = ActorPool(actors), iter(rows)
    waiting: dict[str, Row] = {}

    def hand_out(number: int) -> None:
        for row in islice(coming, number):
            waiting[row.address] = row
            pool.submit(lambda actor, one: actor.run.remote(one), row)

    try:
        hand_out(made.count * (1 + AHEAD))
        said = ""
        while pool.has_next():
            try:
                record, pictures = pool.get_next_unordered()
            except RayActorError as error:  # for the last time that its row was tried
                said = first_line(error)
                hand_out(1)
                continue
            for number, picture in pictures:
                store.keep(record.address, number, picture)
            waiting.pop(record.address)
            hand_out(1)
            yield record
        for row in waiting.values():
            why = f"its process died {RETRIES + 1} times: {said}"
            yield Record(row.address, row.settings, error=why)
    finally:
        for actor in actors:
            with suppress(Exception):  # whatever ended, it ends with it
                ray.kill(actor)


def _absolute(job: Job) -> Job:
    """The job with folders that mean the same in another working folder."""
    places = replace(
        job.places,
        models=tuple(path.absolute() for path in job.places.models),
        input=tuple(path.absolute() for path in job.places.input),
        aliases={
            kind: {name: path.absolute() for name, path in names.items()}
            for kind, names in job.places.aliases.items()
        },
    )
    return replace(job, places=places)


def _actors(cluster: Cluster, nodes: list[dict[str, Any]]) -> int:
    """How many actors the machines have cores for, or as many as were asked for."""
    cores = [int(node["Resources"].get("CPU", 0)) for node in nodes if node.get("Alive")]
    fitting = sum(one // cluster.cores for one in cores)
    if fitting < max(1, cluster.actors):
        asked = f"{max(1, cluster.actors)} actors of {cluster.cores} cores"
        raise UserError(
            f"{asked} were asked for, and the {len(cores)} machines of this Ray have "
            f"{', '.join(map(str, cores))} cores; lower --actors or --cores"
        )
    return cluster.actors or fitting


def _require_answer(address: str) -> None:
    """Raise ConnectionError where nobody listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address == AUTO:
        return
    if not host or not port.isdigit():
        raise ConnectionError("write HOST:PORT")
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except OSError as error:
        raise ConnectionError(error.strerror or str(error)) from error
