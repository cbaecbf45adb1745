"""One sampling run under a stack: the plan, where residuals come from, and their sum at each call.

Nothing here outlives the run; everything is kept by device, since a host may sample on several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..ground.errors import UserError, named
from ..ground.latents import latent_pixels
from ..ground.log import log
from .applied import Delivery, Watched
from .call import Area, Call, is_film
from .control import ControlStack
from .factors import weighed
from .forecast import Forecast, refreshing
from .patch_net import PatchNet
from .patch_run import PatchRun
from .plan import Plan
from .protocols import BaseModel, ControlDict
from .recorder import Recorder
from .residuals import NotAppliedError, Residuals
from .schedule import Schedule, Window
from .source import OfNet, Source

WHOLE = Window()

Act: TypeAlias = tuple[int, float, list[int]]
"""A control in a call: its number in the stack, its strength, and the rows on which it acts."""

ELSEWHERE = "Apply ControlNet Stack to Conditioning"
"""The node whose stack is cut along with the conditioning that it lies on."""


class DeviceRun:
    """A run on one device: what each control of the stack adds to a call of the model."""

    def __init__(
        self,
        stack: ControlStack,
        base: BaseModel,
        options: Mapping[str, Any],
        window: Window,
        recorder: Recorder | None = None,
    ) -> None:
        """`recorder` is told what each control adds, and when its net runs."""
        self._recorder = recorder
        sigmas = options.get("sample_sigmas")
        levels = () if sigmas is None else tuple(sigmas.tolist())
        self.plan = Plan.of(stack, Schedule(base.model_sampling, levels, window))
        self.sources: dict[int, Source] = {}
        self.patches: dict[int, PatchRun] = {}
        self._known_blocks: set[int] = set()
        for index, control in enumerate(stack):
            when = refreshing(control, self.plan, index)
            with named(control.name):
                if isinstance(control.net, PatchNet):
                    self.patches[index] = PatchRun(control, control.net, base)
                else:
                    ran = None if recorder is None else partial(recorder.ran, index)
                    source: Source = OfNet(control, control.net, base, ran)
                    self.sources[index] = Forecast(source, when, control.name) if when else source

    def active(self, call: Call) -> list[str]:
        """The names of the controls that act at this call's noise level."""
        strengths = zip(self.plan.names, self.plan.at(call.sigma), strict=True)
        return [name for name, strength in strengths if strength != 0.0]

    def added(self, given: ControlDict | None, call: Call) -> tuple[Watched | None, list[str]]:
        """`given` and that which every active control adds, and the names of those; a control that
        acts on none of the rows is none of them. Without any there is nothing to give.

        The nets run when the control is read.

        Raises:
            UserError: as it is read, for residuals that do not fit or are not finite; names the
                control.
        """
        acting = [act for act in self._acting(call) if act[0] not in self.patches]
        if not acting:
            return None, []

        def summed() -> Residuals:
            return self._summed(Residuals.of(given), acting, call)

        return Watched(summed), [self.plan.names[index] for index, _, _ in acting]

    def _summed(self, given: Residuals, acting: Sequence[Act], call: Call) -> Residuals:
        total, made = given, set[int]()
        kept: dict[int, Residuals] = {}
        sums: dict[str, Tensor] = {}
        for act in acting:
            with named(self.plan.names[act[0]]):
                part = self._part(act, call)
                sums[self.plan.names[act[0]]] = part.sums()
                total = total.plus(part, made)
            if self._recorder is not None:
                kept[act[0]] = part
        if not total.finite():
            _refuse(sums, given, call)
        if self._recorder is not None:
            self._recorder.added(call, kept)
        return total

    def _part(self, act: Act, call: Call) -> Residuals:
        """What one control adds."""
        index, strength, rows = act
        seen = call.only(rows)
        residuals = self.sources[index](seen, strength)
        self._require_blocks(index, residuals)
        part = weighed(residuals, seen, self.plan.factors[index])
        return part if seen is call else part.placed(torch.tensor(rows), len(call.rows))

    def laid(self, call: Call) -> tuple[Call, list[str]]:
        """The call with the patches of every active control that is one in its options, after
        those that are there, and the names of those controls.

        Raises:
            UserError: what the host's patches refuse; names the control.
        """
        patches: dict[str, list[Any]] = {}
        names = []
        for index, strength, rows in self._acting(call):
            if index not in self.patches:
                continue
            names.append(self.plan.names[index])
            felt = None if self._recorder is None else self._recorder.feeling(call, index)
            with named(self.plan.names[index]):
                made = self.patches[index].functions(
                    call, rows, strength, self.plan.factors[index], felt
                )
            for kind, functions in made.items():
                patches.setdefault(kind, []).extend(functions)
        if not names:
            return call, names
        given = call.options.get("patches", {})
        all_kinds = {kind: [*given.get(kind, ()), *mine] for kind, mine in patches.items()}
        return replace(call, options={**call.options, "patches": {**given, **all_kinds}}), names

    def unreached(self) -> list[str]:
        """The names of controls whose patches the model never came to."""
        return [self.plan.names[index] for index, run in self.patches.items() if not run.reached]

    def _acting(self, call: Call) -> Iterator[Act]:
        """The controls that act at a call: number, strength, and rows that are not at 0."""
        for index, strength in enumerate(self.plan.at(call.sigma)):
            factors = self.plan.factors[index]
            rows = [i for i, row in enumerate(call.rows) if all(f.of_row(row) for f in factors)]
            if strength != 0.0 and rows:
                yield index, strength, rows

    def _require_blocks(self, index: int, residuals: Residuals) -> None:
        """Raise UserError, once a run, where a factor names blocks that the net does not have."""
        if index not in self._known_blocks:
            self._known_blocks.add(index)
            places = residuals.places()
            for factor in self.plan.factors[index]:
                factor.require_blocks(places)

    def close(self) -> list[Exception]:
        """Drop the run state of every net; returns what they failed with."""
        for patches in self.patches.values():
            patches.close()
        return [failure for source in self.sources.values() for failure in source.close()]


class Session:
    """A sampling run on whatever devices it uses, and where its conditionings lie.

    As a context it drops all run state at its end, even if a net fails to; what that net failed
    with is raised then, unless the run itself ended with an error, which is what the user must see.
    """

    def __init__(
        self,
        stack: ControlStack,
        told: set[str],
        window: Window = WHOLE,
        recorder: Recorder | None = None,
    ) -> None:
        """`told` has the controls whose hints were said to fit badly; `recorder` measures."""
        self._stack = stack
        self._recorder = recorder
        self._window = window
        self._told = told
        self._runs: dict[torch.device, tuple[DeviceRun, Delivery]] = {}
        self._areas: dict[object, Area] = {}
        self._latent: tuple[int, int] | None = None
        self._sizes: set[tuple[int, int]] = set()  # that the host itself calls the model with

    def __deepcopy__(self, memo: object) -> Session:
        """Itself: it lies in the host's options, and whoever copies those means no other run."""
        return self

    def note_areas(self, conds: Sequence[Any], x: Tensor) -> None:
        """Remember the areas of the host's conditioning entries, by the host's own ids; `x` is
        the whole latent (B, C, h, w)."""
        if self._latent is None:
            self._tell_misfits(x)
            self._require_pictures(x.shape[2] if is_film(x) else len(x))
        self._latent = (x.shape[-2], x.shape[-1])
        self._sizes = {self._latent}
        for entry in (entry for side in conds for entry in side or ()):
            area = entry.get("area")
            if area is not None and len(area) in (4, 6):  # of films: frames come before heights
                height, width = area[len(area) // 2 - 2 : len(area) // 2]
                top, left = area[-2:]
                self._areas[entry.get("uuid")] = (height, width, top, left)
                self._sizes.add((min(height, x.shape[-2] - top), min(width, x.shape[-1] - left)))

    def apply(
        self,
        control: ControlDict | None,
        given: tuple[Tensor, Tensor, Mapping[str, Any], Mapping[str, Any]],
        base: BaseModel,
        model: Callable[[Any, Any], Any],
    ) -> Any:
        """`model(control, options)`, with all that the stack adds now in `control`.

        `given` are the call's latents, sigmas, conditioning and options.
        """
        x, _, _, options = given
        areas = tuple(self._areas.get(uuid) for uuid in options.get("uuids", ()))
        call = Call.of(*given, areas if any(areas) else (), self._latent)
        if self._recorder is not None:
            self._recorder.saw(call)
        if x.device not in self._runs:
            run = DeviceRun(self._stack, base, options, self._window, self._recorder)
            self._runs[x.device] = (run, Delivery(base))
        run, delivery = self._runs[x.device]
        if not (active := run.active(call)):
            return model(control, options)
        with named(" + ".join(active)):
            self._require_known_place(x)
        total, names = run.added(control, call)
        if self._recorder is not None and total is not None:
            total.keep = True
            model = self._recorder.listening(model, total.residuals, call)
            if run.patches:  # what those change is compared with what the nets add
                total.make()
        laid, patched = run.laid(call)
        if not names and not patched:
            return model(control, options)

        def deliver(given: ControlDict | None, options: Mapping[str, Any]) -> Any:
            return model(control if total is None else given, options)

        with named(" + ".join([*names, *patched]), NotAppliedError):
            inside = bool(patched) or self._recorder is not None
            return delivery(total, laid, deliver, [*names, *patched], run.unreached, inside)

    def tell_missed(self, guider: Any, sigmas: Tensor) -> None:
        """Say in the log which controls came to no call of the model in a whole run.

        The host's `guider` and `sigmas` (one more than steps) tell which were to come where another
        patch let no call come even to this one.
        """
        deliveries = [delivery for _, delivery in self._runs.values()]
        if deliveries:
            tried = dict.fromkeys(name for delivery in deliveries for name in delivery.tried)
        else:
            sampling = guider.inner_model.model_sampling
            plan = Plan.of(self._stack, Schedule(sampling, tuple(sigmas.tolist()), self._window))
            rows = zip(plan.names, plan.table(), strict=True)
            tried = dict.fromkeys(name for name, strengths in rows if any(strengths))
        arrived = {name for delivery in deliveries for name in delivery.arrived}
        if missed := [name for name in tried if name not in arrived]:
            log.warning(
                "%s never reached the model in this run: another patch answers in its place",
                " + ".join(missed),
            )

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        failures = [failure for run, _ in self._runs.values() for failure in run.close()]
        self._runs.clear()
        if failures and kind is None:
            raise failures[0]

    def _tell_misfits(self, x: Tensor) -> None:
        """Say, once a stack, which hints are twice as large as the picture or of another shape: it
        may be a part of a larger one, and nobody tells a MODEL which part."""
        height, width = (latent_pixels(x.shape) * edge for edge in x.shape[-2:])
        for control in self._stack:
            high, wide = control.hint.shape[-2:]
            larger = high >= 2 * height and wide >= 2 * width
            misshapen = abs(high * width - wide * height) > high * width / 10
            if (larger or misshapen) and not control.silent and control.name not in self._told:
                self._told.add(control.name)
                log.info(
                    "%s: its hint of %d x %d is fitted to a picture of %d x %d. If that is a tile "
                    "or a detail of a larger one, use %s",
                    *(control.name, wide, high, width, height, ELSEWHERE),
                )

    def _require_pictures(self, count: int) -> None:
        for control in self._stack:
            with named(control.name):
                for factor in control.factors:
                    factor.require_pictures(count)

    def _require_known_place(self, x: Tensor) -> None:
        """Raise UserError for a part of the latent that another patch cut out: the hint would be
        squeezed into each part. Films are not looked at; pictures that are films of one frame
        (Qwen-Image, Anima) are."""
        size = (x.shape[-2], x.shape[-1])
        if not is_film(x) and self._latent and size not in self._sizes:
            raise UserError(
                f"another patch on this model calls it with parts of {size[0]} x {size[1]} of a "
                f"latent of {self._latent[0]} x {self._latent[1]}, and nobody says where they lie "
                f"in the hint; use {ELSEWHERE}, or take away the patch that samples in tiles or at "
                "another size."
            )


def _refuse(parts: Mapping[str, Tensor], given: Residuals, call: Call) -> None:
    """Raise UserError that says whose residuals are not finite, by the sums of each part; what
    came in so is not theirs."""
    broken = [name for name, sums in parts.items() if not sums.isfinite().all()]
    if not broken and not given.finite():
        return  # the host's own chain; its affair
    names = " + ".join(broken or parts)
    came_in = {"the latent": call.x, "the text": call.cond.get("c_crossattn")}
    for what, tensor in came_in.items():
        if isinstance(tensor, Tensor) and not tensor.isfinite().all():
            raise UserError(
                f"{names}: {what} holds NaN or infinite values already when it comes to this net: "
                "the model, its text encoder or another patch on it made them; run the model in "
                "float32 or bfloat16, or take other patches away."
            )
    if not broken:
        raise UserError(
            f"{names}: each is finite, their sum is not; lower their strengths, or run them in "
            "float32 or bfloat16."
        )
    raise UserError(
        f"{names}: the residuals hold NaN or infinite values; run this net in float32 or bfloat16, "
        "or get its file again: it may be damaged."
    )
