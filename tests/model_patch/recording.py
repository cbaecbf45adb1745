"""A host of numbers: nets that answer with what their hint is filled with, a model that notes it.

It shares no code with the embedded host, so a fault that both hosts have cannot hide here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from controlstack.model_patch.control import Control, ControlStack
from controlstack.model_patch.run import Session

SIZE = 8
"""Edge of the latents, in latent pixels."""


class Numbers:
    """A CONTROL_NET: the residual of a row is the number that its hint is filled with.

    Residuals come as feature maps of two sizes or, with `tokens`, as a transformer's. `runs` counts
    how often any copy was run, and with how many rows; `copies` are all that were made.
    """

    def __init__(self, runs: list[int] | None = None, tokens: int | None = None) -> None:
        self.strength = 1.0
        self.runs = [] if runs is None else runs
        self.tokens = tokens
        self.copies: list[Numbers] = []
        self.concat_mask = False
        self.edge = SIZE
        self.hint = torch.zeros(1, 3, 1, 1)
        self.extra: Sequence[Tensor] = ()
        self.arguments: dict[str, Any] = {}
        self.ready = False
        self.kept: Tensor | None = None

    def copy(self) -> Numbers:
        made = Numbers(self.runs, self.tokens)
        self.copies.append(made)
        made.concat_mask, made.edge = self.concat_mask, self.edge
        made.__dict__.update({k: v for k, v in self.__dict__.items() if k == "control_model"})
        return made

    def set_cond_hint(
        self, hint: Tensor, strength: float, span: Any, vae: Any = None, extra_concat: Any = ()
    ) -> Numbers:
        self.hint, self.strength, self.extra = hint, strength, extra_concat
        return self

    def set_extra_arg(self, name: str, value: Any) -> None:
        self.arguments[name] = value

    def pre_run(self, model: Any, percent_to_sigma: Any) -> None:
        self.ready = True

    def get_control(self, x: Tensor, t: Tensor, cond: Any, repeats: int, options: Any) -> Any:
        assert self.ready
        self.runs.append(len(x))
        numbers = self._broadcast(len(x), repeats) * self.strength
        if self.tokens is not None:
            shapes: list[tuple[int, ...]] = [(len(x), self.tokens, 4)]
        else:
            shapes = [(len(x), 4, edge, edge) for edge in (self.edge, SIZE // 2)]
        maps = [numbers.view(-1, *(1,) * (len(s) - 1)).expand(s).clone() for s in shapes]
        return {"input": [], "middle": [maps[-1]], "output": maps}

    def _broadcast(self, batch: int, repeats: int) -> Tensor:
        """As ComfyUI's nets: what was made for one batch is kept, and made from for the next."""
        if self.kept is None:
            self.kept = self.hint.mean(dim=(1, 2, 3))
        if len(self.kept) != batch and len(self.kept) > 1:
            rows = batch // repeats
            first = self.kept[:rows]
            self.kept = first[torch.arange(rows) % len(first)].repeat(repeats)
        return self.kept

    def get_models(self) -> list[Any]:
        return []

    def inference_memory_requirements(self, dtype: Any) -> int:
        return 0

    def cleanup(self) -> None:
        self.ready = False


class Base:
    """What the engine asks of a model."""

    model_sampling = SimpleNamespace(percent_to_sigma=lambda percent: 10.0 * (1.0 - percent))
    diffusion_model = torch.nn.Identity()


BASE: Any = Base()


def hints(*numbers: float) -> Tensor:
    """A picture of one colour for each number."""
    return torch.tensor(numbers)[:, None, None, None].expand(-1, 3, 64, 64)


def numbered(*numbers: float, **kwargs: Any) -> Control:
    """A control that adds these numbers to the pictures of a run."""
    net: Any = kwargs.pop("net", None) or Numbers()
    return Control(net=net, hint=hints(*numbers), **kwargs)


@contextmanager
def running(stack: ControlStack) -> Iterator[Callable[..., dict[str, list[Tensor]]]]:
    """A run: call what it gives with the number of rows, and get what the stack gives the model.

    Keywords are the sigma, the latent (of SIZE without), and the host's options.
    """

    def call(
        rows: int, *, sigma: float = 5.0, latent: Tensor | None = None, **options: Any
    ) -> dict[str, list[Tensor]]:
        x = torch.zeros(rows, 4, SIZE, SIZE) if latent is None else latent
        got: dict[str, list[Tensor]] = {}

        def model(control: Any, _: Any) -> None:
            names = ("input", "middle", "output") if control is not None else ()
            got.update({name: list(control[name]) for name in names})

        session.apply(None, (x, torch.full((len(x),), sigma), {}, options), BASE, model)
        return got

    with Session(stack, set()) as session:
        yield call


def added(stack: ControlStack, rows: int, **given: Any) -> dict[str, list[Tensor]]:
    """What a stack gives the model in a run of one call."""
    with running(stack) as call:
        return call(rows, **given)


def numbers_of(made: dict[str, list[Tensor]]) -> list[float]:
    """The number of each row; the same in all its places."""
    first = made["output"][0]
    flat = first.flatten(1)
    assert torch.equal(flat, flat[:, :1].expand_as(flat))
    return flat[:, 0].tolist()
