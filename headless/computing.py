"""Where networks compute, and in which type of numbers: chosen once for a run, asked by loaders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch

from ..ground.errors import UserError
from ..ground.memory import available

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
AUTO = "auto"
CPU = torch.device("cpu")
_WIDENED = 2  # halves as float32


@dataclass(frozen=True)
class Computing:
    """A device, the type that U-Nets and ControlNets compute in, and whether weights may stay as
    narrow as their file has them until a layer computes.

    Text encoders and T2I adapters compute in float32 and VAEs in float32 or bfloat16, as ComfyUI's
    do: SDXL's VAE overflows in float16.
    """

    device: torch.device = CPU
    dtype: torch.dtype = torch.float32
    may_keep: bool = False

    def keeps(self, size: int) -> bool:
        """Whether the weights of a file of `size` bytes stay as it has them.

        The numbers are the same either way. On a CPU it takes time: a step of SD 1.5 on one core
        took 11 % more at 512 px and 27 % at 256 (`python -m benchmarks.narrow_weights`), so it is
        done where the file as float32 would take more than half of the memory that is left.
        """
        if not self.may_keep or self.device.type != "cpu" or self.dtype != torch.float32:
            return self.may_keep
        return size * _WIDENED > available() / 2

    def packs(self, numbers: int) -> bool:
        """Whether so many quantised weights stay packed until a layer computes.

        The numbers are the same either way, and unpacking takes longer than the layer, so it is
        done where they would take more than half of the memory that is left, and on a CPU alone:
        elsewhere they are unpacked once.
        """
        if not self.may_keep or self.device.type != "cpu":
            return False
        return numbers * self.dtype.itemsize > available() / 2

    @property
    def of_pictures(self) -> torch.dtype:
        """The type that VAEs compute in."""
        return self.dtype if self.dtype == torch.bfloat16 else torch.float32


_PLAIN = Computing()
_CURRENT: ContextVar[Computing] = ContextVar("computing", default=_PLAIN)


def current() -> Computing:
    """What was chosen; without a choice the CPU and float32, all weights as float32."""
    return _CURRENT.get()


@contextmanager
def use(chosen: Computing) -> Iterator[None]:
    """Have networks that are loaded inside the block compute as chosen."""
    token = _CURRENT.set(chosen)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def chosen(device: str, dtype: str) -> Computing:
    """What `--device` and `--dtype` ask for; weights stay as narrow as their files.

    `device` is "cpu", "cuda" or "cuda:N", `dtype` a key of `DTYPES`, or "auto": float32 on a CPU,
    float16 elsewhere. Raises UserError for a device that is not there.
    """
    place = _device(device)
    return Computing(place, DTYPES[kind_of(device, dtype)[1]], may_keep=True)


def kind_of(device: str, dtype: str) -> tuple[str, str]:
    """The kind of device ("cpu" or "cuda") and the key of `DTYPES` that `chosen` takes for the
    same words; whether there is such a device here is not looked at."""
    kind = device.partition(":")[0]
    return kind, dtype if dtype != AUTO else "fp32" if kind == "cpu" else "fp16"


def _device(text: str) -> torch.device:
    try:
        place = torch.device(text)
    except RuntimeError as error:
        raise UserError(f"--device {text} is no device; write cpu, cuda or cuda:N.") from error
    if place.type not in ("cpu", "cuda"):
        raise UserError(f"--device {text} is not one that runs here; write cpu, cuda or cuda:N.")
    count = torch.cuda.device_count() if place.type == "cuda" else 1
    if not count:
        raise UserError(
            f"--device {text}: PyTorch {torch.__version__} sees no CUDA device here; leave "
            "--device out to compute on the CPU."
        )
    if (place.index or 0) >= count:
        names = " to ".join(dict.fromkeys((f"{place.type}:0", f"{place.type}:{count - 1}")))
        raise UserError(f"--device {text} is not there: this machine has {names}.")
    return torch.device("cuda", place.index or 0) if place.type == "cuda" else CPU
