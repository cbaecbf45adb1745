"""What stands on the wires of a workflow that is planned and not run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ...model_patch.control import Control, ControlStack
from ...model_patch.schedule import Schedule


@dataclass(frozen=True)
class Unknown:
    """A value that only a run would have; `why` says what is wrong with a picture."""

    why: str = ""


UNKNOWN = Unknown()

NO_PICTURE = torch.zeros(1, 1, 1, 3)
"""An IMAGE that is not there: one pixel, which no thumbnail shows."""

NO_MASK = torch.ones(1, 1, 1)
"""A MASK that is not there: it acts, and no thumbnail shows it."""


@dataclass(frozen=True)
class Net:
    """A CONTROL_NET or a MODEL_PATCH: its file, and what a union net is told."""

    file: str = ""
    types: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Model:
    """A MODEL: what its file tells, and the controls that lie on it.

    `kind` is the folder of `file`; `shift` is that of a node that sets a flow's.
    """

    file: str = ""
    kind: str = ""
    stack: ControlStack = ()
    shift: float | None = None


@dataclass(frozen=True, eq=False)
class Entry:
    """One entry of a CONDITIONING: its chain of controls, and whether the other side of the
    guidance is to have it too where it has none (the core's old ControlNetApply)."""

    chain: ControlStack = ()
    for_both: bool = False


@dataclass(frozen=True, eq=False)
class Prompt:
    """A CONDITIONING."""

    entries: tuple[Entry, ...] = (Entry(),)

    def with_chain(self, after: Callable[[ControlStack], ControlStack], both: bool) -> Prompt:
        """Each entry with another chain."""
        return Prompt(tuple(Entry(after(entry.chain), both) for entry in self.entries))


@dataclass(frozen=True, eq=False)
class Latent:
    """A LATENT of `count` pictures (0: not known), through how many samplers it `passes`."""

    count: int = 0
    passes: int = 0


@dataclass(frozen=True, eq=False)
class Guider:
    """A GUIDER: a model between two prompts; without a negative one it asks for one side."""

    model: Model
    positive: Prompt
    negative: Prompt | None = None
    cfg: float = 1.0


@dataclass(frozen=True, eq=False)
class Sampled(Latent):
    """The LATENT that a sampler gives, and how it was made.

    Args:
        guider: what guides it.
        schedule: its steps.
        words: the same for a person: "20 steps, karras".
        notes: what was assumed.
    """

    guider: Guider = field(default_factory=lambda: Guider(Model(), Prompt()))
    schedule: Schedule | None = None
    words: str = ""
    notes: tuple[str, ...] = ()


# What stands for each type of a wire, and what there is of it where nobody knows more.
KINDS: Mapping[str, type] = {
    "MODEL": Model,
    "CONDITIONING": Prompt,
    "CONTROL_NET": Net,
    "MODEL_PATCH": Net,
    "LATENT": Latent,
    "GUIDER": Guider,
    "CONTROL_STACK": tuple,
    "CONTROL_FACTOR": tuple,
}
_FRESH: Mapping[str, Callable[[], Any]] = {
    **{"MODEL": Model, "CONDITIONING": Prompt, "LATENT": Latent},
    **{"CONTROL_NET": Net, "MODEL_PATCH": Net},
    **{"CONTROL_STACK": tuple, "CONTROL_FACTOR": tuple},
}


def single(kind: str) -> str:
    """Of a type with commas, "A,B", the first that has a stand-in here; else `kind` itself."""
    return next((one for one in map(str.strip, kind.split(",")) if one in KINDS), kind)


def fresh(kind: str) -> Any:
    """A value of type `kind` of which nothing is known."""
    return _FRESH.get(single(kind), lambda: UNKNOWN)()


def passed_on(kind: str, inputs: Sequence[Any], slot: int) -> Any:
    """What a node that is not known gives as a `kind`: the input of that kind, of several that one
    whose number is the output's among outputs of the same kind, at most the last. How many pictures
    a latent has is not known then."""
    known = KINDS.get(single(kind))
    fitting = [value for value in inputs if known and isinstance(value, known)]
    if not fitting:
        return fresh(kind)
    value = fitting[min(slot, len(fitting) - 1)]
    return Latent(passes=value.passes) if isinstance(value, Latent) else value


def picture(value: Any) -> Tensor:
    """An IMAGE, or what stands for one."""
    return value if isinstance(value, Tensor) else NO_PICTURE


def one_sided(control: Control, cond: float, uncond: float) -> Control:
    """The control on some sides only."""
    from ...model_patch.factors import Sides

    return replace(control, also=(*control.also, Sides(cond, uncond)))
