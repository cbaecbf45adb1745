"""Work on Ray: processes that each keep what they have loaded, here or on a cluster.

Ray hands an item to each process that is free, and gives the item of one that dies to the same
process, started anew; nothing of that is done here.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from .errors import UserError
from .wording import first_line

LOCAL, AUTO = "local", "auto"
"""Addresses that are none: a Ray of our own on this machine, and the one that runs here."""
RETRIES = 3
"""How often Ray runs an item again whose process has died."""
AHEAD = 2
"""Items a process that wait in the driver, so that nobody waits for the next one to be made."""
PATIENCE = 5.0
"""Seconds in which a cluster's head has to answer."""
STORE_BYTES = 200_000_000
"""Of the object store of a Ray that is started here: results go through it one by one."""
MISSING = 'Ray is not installed: pip install "controlstack[cluster]"'


@dataclass(frozen=True)
class Cluster:
    """How work is shared out.

    Args:
        address: LOCAL, AUTO, HOST:PORT of a cluster's head, or ray://HOST:PORT.
        actors: how many processes; 0 for as many as the cores allow.
        cores: of a process; torch computes with as many threads.
        gpus: of a process: each sees its own alone, which Ray chooses.
    """

    address: str
    actors: int = 0
    cores: int = 1
    gpus: int = 0

    def __post_init__(self) -> None:
        if self.actors < 0 or self.cores < 1:
            raise UserError(
                f"--actors is {self.actors} and --cores {self.cores}; give 0 actors or more, of 1 "
                "core or more"
            )


@dataclass(frozen=True)
class Result:
    """What came of an item: what its process gave, or why it died."""

    item: Any
    value: Any = None
    died: str = ""


class Serving:
    """A process of Ray's: it makes a `kind` of `arguments`, and calls its `run` with each item.

    It is made with the first item: what it refuses then (a device that is not there) is told as it
    is, where Ray would take it for a process that died, and start it again.
    """

    def __init__(self, kind: type[Any], arguments: tuple[Any, ...], cores: int, home: str) -> None:
        """`home` is the driver's working folder: paths mean here what they mean there."""
        import torch

        with suppress(OSError):  # another machine may lack it, and then what lies in it, too
            os.chdir(home)
        torch.set_num_threads(cores)
        self._kind, self._arguments = kind, arguments
        self._worker: Any = None

    def run(self, number: int, item: Any) -> tuple[int, Any]:
        """The item's number and what came of it."""
        if self._worker is None:
            self._worker = self._kind(*self._arguments)
        return number, self._worker.run(item)


class Pool:
    """Processes on Ray; made by `joined`."""

    def __init__(self, count: int, cores: int, gpus: int = 0) -> None:
        self._count, self._cores, self._gpus = count, cores, gpus

    def run(
        self, kind: type[Any], arguments: tuple[Any, ...], items: Iterable[Any]
    ) -> Generator[Result, None, None]:
        """What comes of each item, as it comes. `kind`, which other machines can import, is made
        of `arguments` in each process and has `run`, which is called with an item. Closed, the
        generator gives up what is on its way. Raises UserError where Ray itself ends.
        """
        import ray
        from ray.exceptions import RayError, RaySystemError, RayTaskError
        from ray.util import ActorPool

        made = ray.remote(Serving).options(
            num_cpus=self._cores,
            num_gpus=self._gpus,
            max_restarts=-1,
            max_task_retries=RETRIES,
        )
        home = str(Path.cwd())
        actors = [made.remote(kind, arguments, self._cores, home) for _ in range(self._count)]
        pool, coming = ActorPool(actors), enumerate(items)
        waiting: dict[int, Any] = {}

        def hand_out(count: int) -> None:
            for number, item in islice(coming, count):
                waiting[number] = item
                pool.submit(lambda actor, one: actor.run.remote(*one), (number, item))

        try:
            hand_out(self._count * (1 + AHEAD))
            said = ""
            while pool.has_next():
                try:
                    number, value = pool.get_next_unordered()
                except RayTaskError:  # what `run` itself raised
                    raise
                except RaySystemError as error:
                    raise UserError(
                        f"Ray ended at its work ({first_line(error)}); what was written stays: "
                        "free memory if it is short, and call this again"
                    ) from error
                except RayError as error:  # for the last time that its item was tried
                    # Not RayActorError alone: where memory is short Ray kills a process itself, and
                    # says OutOfMemoryError.
                    said = first_line(error)
                else:
                    yield Result(waiting.pop(number), value)
                hand_out(1)
            for item in waiting.values():
                yield Result(item, died=f"its process died {RETRIES + 1} times: {said}")
        finally:
            for actor in actors:
                with suppress(Exception):  # whatever ended, it ends with it
                    ray.kill(actor)


def results_of(
    kind: type[Any], arguments: tuple[Any, ...], items: Iterable[Any], pool: Pool | None
) -> Generator[Result, None, None]:
    """As `Pool.run` of `pool`; without one, in this process and in order."""
    if pool is not None:
        yield from pool.run(kind, arguments, items)
        return
    worker = kind(*arguments)
    for item in items:
        yield Result(item, worker.run(item))


@contextmanager
def joined(cluster: Cluster) -> Iterator[Pool]:
    """Join or start Ray for the block.

    A Ray that was started here ends with the block. Raises UserError without Ray, where nobody
    answers at the address, and where processes would need more cores or GPUs than machines have.
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
        nodes = ray.nodes()
    except Exception as error:  # Ray raises plain ones, too, where a node does not come up in time
        ray.shutdown()
        why = first_line(error)
        if cluster.address == LOCAL:
            raise UserError(
                f"Ray did not start here ({why}); free memory, or leave --ray out"
            ) from error
        raise UserError(
            f"no Ray answers at {cluster.address} ({why}); start one with `ray start --head`, or "
            "say --ray alone to start one here"
        ) from error
    try:
        yield Pool(fitting_actors(cluster, nodes), cluster.cores, cluster.gpus)
    finally:
        ray.shutdown()


def fitting_actors(cluster: Cluster, nodes: list[dict[str, Any]]) -> int:
    """How many actors the machines (`ray.nodes()`) have cores and GPUs for, or as many as were
    asked for. Raises UserError where there are fewer than that."""
    alive = [node["Resources"] for node in nodes if node.get("Alive")]
    cores, gpus = ([int(one.get(what, 0)) for one in alive] for what in ("CPU", "GPU"))
    fitting = [one // cluster.cores for one in cores]
    if cluster.gpus:
        fitting = [min(n, one // cluster.gpus) for n, one in zip(fitting, gpus, strict=True)]
    if sum(fitting) < max(1, cluster.actors):
        each = f"{cluster.cores} cores" + (f" and {cluster.gpus} GPU" if cluster.gpus else "")
        have = f"{', '.join(map(str, cores))} cores"
        have += f" and {', '.join(map(str, gpus))} GPUs" if cluster.gpus else ""
        lower = "lower --actors or --cores"
        raise UserError(
            f"{max(1, cluster.actors)} actors of {each} were asked for, and the {len(alive)} "
            f"machines of this Ray have {have}; {lower}"
            + (", or leave --device out" if cluster.gpus else "")
        )
    return cluster.actors or sum(fitting)


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
