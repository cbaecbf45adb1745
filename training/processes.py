"""The processes that train together: one, several that `accelerate launch` started, or several of
one thread on this machine's cores, where two of one thread beat one of two by far.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn

from ..ground.errors import UserError
from ..ground.workers import deaf_births, hold, lifeline

_PATIENCE = timedelta(hours=6)
"""How long a process waits for the others: the first one draws validation sheets and saves."""


def accelerator_for(device: torch.device, precision: str) -> Any:
    """accelerate's Accelerator for weights on `device` that compute in "fp32", "bf16" or "fp16".

    Raises UserError for fp16 on a CPU. accelerate keeps one state for the whole process; it is
    forgotten first, since a run in the same process may have had another precision.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import InitProcessGroupKwargs

    if precision == "fp16" and device.type == "cpu":
        raise UserError("The precision fp16 needs a GPU; take bf16 or fp32 on a CPU.")
    cpu = device.type == "cpu"
    AcceleratorState._reset_state()
    if PartialState._shared_state:
        known, count = PartialState(), int(os.environ.get("WORLD_SIZE", "1"))
        if (known.device.type, known.num_processes) != (device.type, count):
            PartialState._reset_state()
    return Accelerator(
        cpu=cpu,
        mixed_precision="no" if precision == "fp32" else precision,
        device_placement=False,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
    )


def run_parallel(work: Callable[..., None], arguments: tuple[object, ...], count: int) -> None:
    """Call `work(*arguments)` in `count` processes of one thread each that know of each other, and
    wait for them. They end with this one.
    """
    if count == 1:
        work(*arguments)
        return
    port = _free_port()
    with lifeline() as line:
        with deaf_births():  # torch has no types for it
            started = spawn(  # type: ignore[no-untyped-call]
                _enter, (line, work, arguments, count, port), nprocs=count, join=False
            )
        while not started.join():
            pass


def _enter(
    index: int,
    line: Connection,
    work: Callable[..., None],
    arguments: tuple[object, ...],
    count: int,
    port: int,
) -> None:
    """Sets what launchers set, by which accelerate knows a process's place."""
    hold(line)
    places = {"RANK": index, "LOCAL_RANK": index, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    os.environ.update({name: str(place) for name, place in places.items()})
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    try:
        work(*arguments)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
