"""`patch(model, stack)`: the stack around the host's locked model.

Two wrappers on a clone of the MODEL: "apply_model" adds the residuals at every step, "outer_sample"
bounds a sampling run, so that run state is dropped at its end, also when it ends with an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from ..errors import UserError
from .control import Control, ControlStack
from .plan import Plan
from .protocols import BaseModel, ControlDict, ControlNet, Model
from .residuals import ResidualMismatchError, Residuals
from .weighting import conditional_rows, resolution_weighted

KEY = "controlstack"
"""Under this key our wrappers and nets are registered with the host."""

AnyModel = TypeVar("AnyModel", bound=Model)


def patch(model: AnyModel, stack: ControlStack) -> AnyModel:
    """A clone of `model` that samples under `stack`; `model` itself stays as it is.

    Strength, span, mask and mode of each control hold as `Control` says; residuals of several
    controls, and of control that is already on the conditioning, add up.

    Raises:
        UserError: while sampling, when residuals do not fit or are not finite; names the control.
    """
    patched = cast(AnyModel, model.clone())  # a clone is of its model's own class
    if not stack:
        return patched
    nets = [net for control in stack for net in control.net.get_models()]
    known = patched.get_additional_models_with_key(KEY)
    patched.set_additional_models(KEY, [*known, *_new_only(nets, known)])
    outer_sample, apply_model = _wrappers(stack)
    patched.add_wrapper_with_key("outer_sample", KEY, outer_sample)
    patched.add_wrapper_with_key("apply_model", KEY, apply_model)
    return patched


def _new_only(nets: list[Any], known: list[Any]) -> list[Any]:
    new: list[Any] = []
    for net in nets:
        if not any(net is other for other in [*known, *new]):
            new.append(net)
    return new


@dataclass(frozen=True)
class _Step:
    """What the host gives an "apply_model" wrapper, apart from the control it has already."""

    x: Tensor  # (B, C, h, w): raw latents
    t: Tensor  # (B,): sigmas
    cond: Mapping[str, Any]
    options: Mapping[str, Any]

    @property
    def sides(self) -> list[int]:
        return list(self.options.get("cond_or_uncond", ()))

    def only(self, rows: Tensor) -> _Step:
        """The same step for a part of the batch."""
        batch = self.x.shape[0]

        def part(value: Any) -> Any:
            batched = isinstance(value, Tensor) and value.ndim > 0 and value.shape[0] == batch
            return value[rows.to(value.device)] if batched else value

        cond = {name: part(value) for name, value in self.cond.items()}
        sides = [side for side in self.sides if side == 0]
        return _Step(part(self.x), part(self.t), cond, {**self.options, "cond_or_uncond": sides})


class _Run:
    """The state of one sampling run on one device: the nets' copies and the plan."""

    def __init__(self, stack: ControlStack, base: BaseModel, options: Mapping[str, Any]) -> None:
        sigmas = options.get("sample_sigmas")
        schedule = [] if sigmas is None else [float(sigma) for sigma in sigmas]
        self.stack = stack
        self.plan = Plan.of(stack, base.model_sampling, schedule)
        self.base = base
        self.nets: dict[int, ControlNet] = {}

    def residuals(self, existing: Residuals, step: _Step) -> Residuals:
        """`existing` plus the residuals of every control that is active at this step."""
        total = existing
        for index, strength in enumerate(self.plan.at(float(step.t[0]))):
            if strength == 0.0:
                continue
            control = self.stack[index]
            try:
                total = total + self._of_control(index, control, strength, step)
            except UserError as error:
                raise UserError(f"{control.name}: {error}") from error
        return total

    def _of_control(self, index: int, control: Control, strength: float, step: _Step) -> Residuals:
        if control.mode == "balanced":
            residuals = self._raw(index, control, strength, step)
        else:
            batch = step.x.shape[0]
            rows = conditional_rows(step.sides, batch)
            if not len(rows):
                return Residuals()
            # The net sees the conditional rows only: half the work, and zeros on the other side.
            residuals = self._raw(index, control, strength, step.only(rows))
            residuals = resolution_weighted(residuals).placed(rows, batch)
        return residuals if control.mask is None else residuals.masked(control.mask)

    def _raw(self, index: int, control: Control, strength: float, step: _Step) -> Residuals:
        net = self._net(index, control)
        net.strength = strength
        chunks = max(len(step.sides), 1)
        residuals = Residuals.of(net.get_control(step.x, step.t, step.cond, chunks, step.options))
        residuals.require_finite()
        return residuals

    def _net(self, index: int, control: Control) -> ControlNet:
        if index not in self.nets:
            net = control.net.copy()
            net.set_cond_hint(control.hint, control.strength, (0.0, 1.0))
            self.nets[index] = net  # before pre_run: cleaned up also if that raises
            net.pre_run(self.base, self.base.model_sampling.percent_to_sigma)
        return self.nets[index]

    def name_culprit(self, error: ResidualMismatchError) -> UserError:
        """The same error, with the name of the active controls it can only come from."""
        names = " + ".join(self.stack[index].name for index in sorted(self.nets))
        return UserError(f"{names}: {error}")

    def close(self) -> None:
        """Drop the run state of every net, even if one of them fails to."""
        failures = []
        for net in self.nets.values():
            try:
                net.cleanup()
            except Exception as failure:
                failures.append(failure)
        self.nets.clear()
        if failures:
            raise failures[0]


def _wrappers(stack: ControlStack) -> tuple[Callable[..., Any], Callable[..., Any]]:
    # Plain closures: hosts copy the containers of wrappers, deeply in some versions, and a function
    # is never copied. Run state sits in a list, one entry a run in progress, each keyed by device.
    active: list[dict[torch.device, _Run]] = []

    def outer_sample(executor: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        runs: dict[torch.device, _Run] = {}
        active.append(runs)
        try:
            return executor(*args, **kwargs)
        finally:
            active.pop()
            for run in runs.values():
                run.close()

    def apply_model(
        executor: Any,
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None = None,
        c_crossattn: Tensor | None = None,
        control: ControlDict | None = None,
        transformer_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        options = transformer_options or {}
        given = {"c_concat": c_concat, "c_crossattn": c_crossattn, "transformer_options": options}
        cond = {**{k: v for k, v in given.items() if v is not None}, **kwargs}
        runs = active[-1] if active else {}
        run = runs.get(x.device)
        if run is None:
            run = runs[x.device] = _Run(stack, executor.class_obj, options)
        try:
            existing = Residuals.of(control)
            total = run.residuals(existing, _Step(x, t, cond, options))
            merged = control if total is existing else total.as_dict()
            try:
                return executor(x, t, c_concat, c_crossattn, merged, options, **kwargs)
            except ResidualMismatchError as error:
                raise run.name_culprit(error) from error
        finally:
            if not active:  # called outside of any sampling run: nobody else will clean up
                run.close()

    return outer_sample, apply_model
