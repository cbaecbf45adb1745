"""Several processes on one machine, each with its share of the batch: on a CPU, two of one thread
beat one of two by far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn


def rank() -> int:
    """This process's number: 0, the one that reports and saves, where there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


class FlatGradients:
    """All gradients as views of one vector, so that they are averaged, measured and cleared in one
    call each.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.vector = torch.zeros(sum(p.numel() for p in parameters), device=parameters[0].device)
        parts = torch.split(self.vector, [p.numel() for p in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    def average(self) -> None:
        """Take the mean over the processes, sent in bfloat16."""
        if processes() > 1:
            message = self.vector.bfloat16()
            dist.all_reduce(message)
            self.vector.copy_(message).div_(processes())

    def clip(self, limit: float) -> None:
        """Scale all down so that their norm is at most `limit`."""
        self.vector.mul_((limit / (self.vector.norm() + 1e-6)).clamp(max=1.0))


def agreed(number: float) -> float:
    """Process 0's `number`, so that all of them end at the same step."""
    if processes() == 1:
        return number
    box = torch.tensor([number], dtype=torch.float64)
    dist.broadcast(box, 0)
    return float(box)


def run_parallel(work: Callable[..., None], arguments: tuple[object, ...], count: int) -> None:
    """Call `work(*arguments)` in `count` processes of one thread each that know of each other, and
    wait for them.
    """
    if count == 1:
        work(*arguments)
        return
    port = _free_port()
    spawn(_enter, (work, arguments, count, port), nprocs=count)  # type: ignore[no-untyped-call]


def _enter(
    index: int, work: Callable[..., None], arguments: tuple[object, ...], count: int, port: int
) -> None:
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=index, world_size=count)
    try:
        work(*arguments)
    finally:
        dist.destroy_process_group()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
