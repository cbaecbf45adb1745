"""A sweep's rows, run one after the other in this process; what is known already is left out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeAlias

from ..ground.errors import UserError
from ..ground.lock import working_in
from ..ground.reporter import reporter
from .plan import Executions, Row, SweepPlan
from .record import Record, Store
from .work import Job, Worker

Runner: TypeAlias = Callable[[Iterable[Row], Job, Store], Generator[Record, None, None]]
"""Runs rows, and gives their records as they come; closed, it gives up what it is at."""


@dataclass(frozen=True)
class Swept:
    """A sweep's rows as they are known now, in the order of running, and how they came about.

    Args:
        records: of all rows that were asked for.
        before: how many of them were known.
        executions: of the others: how often nodes ran, and would have without what rows share.
    """

    records: tuple[Record, ...]
    before: int
    executions: Executions

    @property
    def failed(self) -> tuple[Record, ...]:
        """The rows that failed."""
        return tuple(one for one in self.records if one.error)


def known_rows(records: Mapping[str, Record], plan: SweepPlan) -> dict[str, Record]:
    """The rows of `plan` that have run well, by address, with their values as `plan` names them:
    another sweep may have had other axes."""
    wanted = set(plan.addresses)
    return {
        key: replace(one, settings=plan.settings(key))
        for key, one in records.items()
        if key in wanted and not one.error
    }


def sweep(
    plan: SweepPlan, job: Job, store: Store, strict: bool = False, run: Runner | None = None
) -> Swept:
    """Run the rows of `plan` that are missing in `store`; `run` gives their records as they come,
    one process by default.

    A row that fails is recorded, and tried again by the next sweep; with `strict` it ends this one,
    as UserError. Raises UserError where another process works in the folder.
    """
    with working_in(store.folder, "sweeping"):
        store.begin()
        try:
            every = store.read()
            before = known_rows(every, plan)
            every |= before
            known = frozenset(before)
            done = [0, 0]
            with reporter().steps(len(plan) - len(known), "rows") as bar:
                runner = run or in_this_process
                with closing(runner(plan.rows(known), job, store)) as records:
                    for record in records:
                        store.add(record)
                        every[record.address] = record
                        done[0] += record.executed + record.reused
                        done[1] += record.executed
                        bar.advance()
                        if record.error and strict:
                            raise UserError(f"{in_words(record.settings)}: {record.error}")
            store.settle(plan.addresses, every)
        finally:
            store.end()
    records_now = tuple(every[key] for key in plan.addresses if key in every)
    return Swept(records_now, len(known), Executions(*done))


def in_this_process(rows: Iterable[Row], job: Job, store: Store) -> Generator[Record, None, None]:
    """Run rows here."""
    worker = Worker(job, store.scratch, store.keep)
    for row in rows:
        yield worker.run(row)


def in_words(settings: Mapping[str, object]) -> str:
    """A row's values on one line: "Add pose.strength 0.7, seed 3"."""
    return (
        ", ".join(f"{name} {value}" for name, value in settings.items()) or "the workflow as it is"
    )
