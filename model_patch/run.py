"""One sampling run under a stack: the nets' copies, the plan, and what they add at each step.

Nothing here outlives the run; everything is kept by device, since a host may sample on several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..ground.errors import UserError
from ..ground.log import log
from .applied import Delivery
from .area import Area, cut_to_areas
from .control import Control, ControlStack
from .plan import Plan
from .protocols import BaseModel, ControlDict, ControlNet
from .residuals import NotAppliedError, Residuals
from .weighting import CONDITIONAL, conditional_rows, resolution_weighted


@dataclass(frozen=True)
class Step:
    """What the host gives an "apply_model" wrapper, apart from the control it has already."""

    x: Tensor  # (B, C, h, w): raw latents
    t: Tensor  # (B,): sigmas
    cond: Mapping[str, Any]
    options: Mapping[str, Any]
    areas: tuple[Area | None, ...] = ()  # one a chunk of the batch

    @property
    def sides(self) -> list[int]:
        """Conditional (0) or not (1), one a chunk of the batch; empty where nothing is known."""
        return list(self.options.get("cond_or_uncond", ()))

    @property
    def chunks(self) -> int:
        """How many conditionings the batch holds, one after another."""
        return max(len(self.sides), 1)

    @property
    def rows(self) -> int:
        """Pictures in one conditioning."""
        return self.x.shape[0] // self.chunks

    def conditional(self) -> tuple[Tensor, Step]:
        """The conditional rows' indices (int64), and the same step for those rows alone."""
        batch = self.x.shape[0]
        rows = conditional_rows(self.sides, batch)

        def part(value: Any) -> Any:
            batched = isinstance(value, Tensor) and value.ndim > 0 and value.shape[0] == batch
            return value[rows.to(value.device)] if batched else value

        kept = [chunk for chunk, side in enumerate(self.sides) if side == CONDITIONAL]
        options = {**self.options, "cond_or_uncond": [CONDITIONAL] * len(kept)}
        cond = {name: part(value) for name, value in self.cond.items()}
        areas = tuple(self.areas[chunk] for chunk in kept) if self.areas else ()
        return rows, Step(part(self.x), part(self.t), cond, options, areas)


class Session:
    """A sampling run on whatever devices it uses, and where its conditionings lie.

    As a context it drops all run state at its end, even if a net fails to; what that net failed
    with is raised then, unless the run itself ended with an error, which is what the user must see.
    """

    def __init__(self, stack: ControlStack) -> None:
        self._stack = stack
        self._runs: dict[torch.device, DeviceRun] = {}
        self._areas: dict[object, Area] = {}
        self._latent = (0, 0)
        self._sizes: set[tuple[int, int]] = set()

    def __deepcopy__(self, memo: object) -> Session:
        """Itself: it lies in the host's options, and whoever copies those means no other run."""
        return self

    def note_areas(self, conds: Sequence[Any], x: Tensor) -> None:
        """Remember the areas of the host's conditioning entries, by the host's own ids; `x` is
        the whole latent (B, C, h, w)."""
        self._latent = (x.shape[-2], x.shape[-1])
        self._sizes = {self._latent}
        for entry in (entry for side in conds for entry in side or ()):
            area = entry.get("area")
            if area is not None and len(area) == 4:  # longer ones belong to films
                height, width, top, left = area
                self._areas[entry.get("uuid")] = (height, width, top, left)
                self._sizes.add((min(height, x.shape[-2] - top), min(width, x.shape[-1] - left)))

    def step(
        self, x: Tensor, t: Tensor, cond: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Step:
        """A step of this run."""
        areas = tuple(self._areas.get(uuid) for uuid in options.get("uuids", ()))
        return Step(x, t, cond, options, areas if any(areas) else ())

    def on(self, device: torch.device, base: BaseModel, options: Mapping[str, Any]) -> DeviceRun:
        """The part of this run on one device."""
        if device not in self._runs:
            self._runs[device] = DeviceRun(self._stack, base, options)
        run = self._runs[device]
        run.latent, run.sizes = self._latent, self._sizes
        return run

    def tell_missed(self, guider: Any, sigmas: Tensor) -> None:
        """Say in the log which controls came to no call of the model in a whole run.

        The host's `guider` and `sigmas` (one more than steps) tell which were to come where another
        patch let no call come even to this one.
        """
        runs = [run.delivery for run in self._runs.values()]
        if runs:
            tried = dict.fromkeys(name for delivery in runs for name in delivery.tried)
        else:
            plan = Plan.of(self._stack, guider.inner_model.model_sampling, sigmas.tolist())
            rows = zip(plan.names, plan.table(), strict=True)
            tried = dict.fromkeys(name for name, strengths in rows if any(strengths))
        arrived = {name for delivery in runs for name in delivery.arrived}
        if missed := [name for name in tried if name not in arrived]:
            log.warning(
                "%s never reached the model in this run: another patch answers in its place",
                " + ".join(missed),
            )

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        failures = [failure for run in self._runs.values() for failure in run.close()]
        self._runs.clear()
        if failures and kind is None:
            raise failures[0]


class DeviceRun:
    """The nets' copies and the plan of one run on one device."""

    def __init__(self, stack: ControlStack, base: BaseModel, options: Mapping[str, Any]) -> None:
        sigmas = options.get("sample_sigmas")
        schedule = [] if sigmas is None else [float(sigma) for sigma in sigmas]
        self.stack = stack
        self.plan = Plan.of(stack, base.model_sampling, schedule)
        self.base = base
        self.latent = (0, 0)
        self.sizes: set[tuple[int, int]] = set()  # that the host itself calls the model with
        self.delivery = Delivery(base)
        self._nets: dict[tuple[Any, ...], ControlNet] = {}

    def apply(
        self, control: ControlDict | None, step: Step, model: Callable[[Any, Any], Any]
    ) -> Any:
        """`model(control, options)`, with every control active at this step added to `control`."""
        active = [(i, s) for i, s in enumerate(self.plan.at(float(step.t[0]))) if s != 0.0]
        if not active:
            return model(control, step.options)
        controls = [self.stack[index].name for index, _ in active]
        names = " + ".join(controls)
        with _named(names):
            self._require_known_place(step.x)
        total = given = Residuals.of(control)
        for index, strength in active:
            with _named(self.stack[index].name):
                total = total + self._of_control(index, self.stack[index], strength, step)
        if total is given:
            return model(control, step.options)
        with _named(names, NotAppliedError):
            return self.delivery(total, step, model, controls)

    def close(self) -> list[Exception]:
        """Drop the run state of every net; returns what they failed with."""
        failures: list[Exception] = []
        for net in self._nets.values():
            try:
                net.cleanup()
            except Exception as failure:
                failures.append(failure)
        self._nets.clear()
        return failures

    def _require_known_place(self, x: Tensor) -> None:
        """Raise UserError for a part of the latent that another patch cut out: the hint would be
        squeezed into each part. Films (B, C, frames, h, w) are not looked at."""
        size = (x.shape[-2], x.shape[-1])
        if x.ndim == 4 and self.sizes and size not in self.sizes:
            raise UserError(
                f"another patch on this model calls it with parts of {size[0]} x {size[1]} of a "
                f"latent of {self.latent[0]} x {self.latent[1]}, and nobody says where they lie in "
                "the hint; take away the patch that samples in tiles or at another size."
            )

    def _of_control(self, index: int, control: Control, strength: float, step: Step) -> Residuals:
        if control.mode == "balanced":
            residuals = self._raw(index, control, strength, step)
        else:
            # The net sees the conditional rows only: half the work, and zeros on the other side.
            rows, conditional = step.conditional()
            if not len(rows):
                return Residuals()
            residuals = self._raw(index, control, strength, conditional).expanded(len(rows))
            residuals = resolution_weighted(residuals).placed(rows, step.x.shape[0])
        if control.mask is None:
            return residuals
        mask = self._seen(control.mask[:, None], control, step)[:, 0]
        return residuals.expanded(step.x.shape[0]).masked(mask, _repeats(control, step))

    def _raw(self, index: int, control: Control, strength: float, step: Step) -> Residuals:
        with _explained(control, step):
            net = self._net(index, control, step)
            net.strength = strength
            repeats = _repeats(control, step)
            given = net.get_control(step.x, step.t, step.cond, repeats, step.options)
        residuals = Residuals.of(given)
        with _blamed_on_what_came_in(step):
            residuals.require_finite()
        return residuals

    def _net(self, index: int, control: Control, step: Step) -> ControlNet:
        """The net's copy with the hint for this step."""
        cuts = (step.areas, step.rows) if _crops(control, step) else None
        if (index, cuts) not in self._nets:
            hint = self._seen(control.hint, control, step)
            net = control.net.copy()
            needs = {} if control.vae is None else {"vae": control.vae}
            net.set_cond_hint(hint, control.strength, (0.0, 1.0), **needs)
            self._nets[index, cuts] = net  # before pre_run: cleaned up also if that raises
            net.pre_run(self.base, self.base.model_sampling.percent_to_sigma)
        return self._nets[index, cuts]

    def _seen(self, pictures: Tensor, control: Control, step: Step) -> Tensor:
        """What the step's conditionings see of a control's pictures (B, C, H, W)."""
        if not _crops(control, step):
            return pictures
        return cut_to_areas(pictures, step.areas, self.latent, step.rows)


def _crops(control: Control, step: Step) -> bool:
    return control.area_hint == "crop" and bool(step.areas)


def _repeats(control: Control, step: Step) -> int:
    """How often hints and masks repeat in the batch: for every conditioning, unless each has a
    piece of its own, which `cut_to_areas` gives row by row."""
    return 1 if _crops(control, step) and len(set(step.areas)) > 1 else step.chunks


@contextmanager
def _named(names: str, kind: type[UserError] = UserError) -> Iterator[None]:
    """Put the controls' names before an error's sentence."""
    try:
        yield
    except kind as error:
        raise error.at(names) from error


@contextmanager
def _blamed_on_what_came_in(step: Step) -> Iterator[None]:
    """A net that was given NaN is not the one at fault."""
    try:
        yield
    except UserError as error:
        given = {"the latent": step.x, "the text": step.cond.get("c_crossattn")}
        for what, tensor in given.items():
            if isinstance(tensor, Tensor) and not tensor.isfinite().all():
                raise UserError(
                    f"{what} holds NaN or infinite values already when it comes to this net: the "
                    "model, its text encoder or another patch on it made them; run the model in "
                    "float32 or bfloat16, or take other patches away."
                ) from error
        raise


@contextmanager
def _explained(control: Control, step: Step) -> Iterator[None]:
    """Torch's own errors become a sentence; out of memory, interrupted and others pass through."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        # What fails on a GPU of itself is no question of shapes.
        if type(error) not in (RuntimeError, ValueError) or "CUDA" in str(error):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"the net failed on a latent of shape {tuple(step.x.shape)} with a hint of shape "
            f"{tuple(control.hint.shape)} ({reason}); use a ControlNet made for this base model, "
            "and a latent whose sides it can divide."
        ) from error
