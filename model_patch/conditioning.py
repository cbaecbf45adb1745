"""The stack on a CONDITIONING: each control as a CONTROL_NET of the host's own protocol.

What samples parts of a picture cuts the hints that lie on the conditioning (`cond_hint_original`),
and what samples prompts one by one takes each with its control: there the stack has to lie, too.
The engine is the one behind `patch`. (ComfyUI's protocol: `ControlBase` in `comfy/controlnet.py`.)
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..ground.errors import UserError, named
from ..ground.log import log
from .applied import BLOCK_PATCH, Watched, fit_check, is_compiled
from .call import Call
from .control import Control, ControlStack
from .factors import Span
from .family import require_same_family
from .mask import Mask
from .patch_net import PatchNet
from .protocols import BaseModel, ControlDict
from .residuals import NotAppliedError
from .run import DeviceRun
from .schedule import Window
from .usable import has_hooks, require_usable
from .view import middle

Conditioning = list[list[Any]]
"""The host's: entries of an embedding and a dict."""


def apply_to_conditioning(
    stack: ControlStack, *conditionings: Conditioning, window: Callable[[], Window] = Window
) -> tuple[Conditioning, ...]:
    """The conditionings with the stack on each entry, after the control that is there already;
    `window` is as `patch` says.

    One object stands for a control on all entries that had the same control before, as with
    ComfyUI's ControlNetApplyAdvanced: that is what lets the host sample them in one batch.

    Raises:
        UserError: a control that cannot be used there; names it.
    """
    audible = [control for control in stack if not control.silent]
    for control in audible:
        if isinstance(control.net, PatchNet):
            raise UserError(
                f"{control.name} is {control.net.words}, which acts inside the model and cannot "
                "lie on a prompt. Use Apply ControlNet Stack, on the model."
            )
        require_usable(control)
        if control.area_hint == "crop":
            raise UserError(
                f"{control.name}: area_hint crop needs the place of each area, which a control on "
                "the conditioning is not told. Use Apply ControlNet Stack, on the model."
            )
    chains: dict[int, Any] = {}

    def with_stack(entry: list[Any]) -> list[Any]:
        before = entry[1].get("control")
        if id(before) not in chains:
            if has_hooks(before):
                names = " + ".join(control.name for control in audible)
                raise UserError(
                    f"{names}: the conditioning carries a control with hooks of its own already, "
                    "which a stack cannot follow; apply that one after the stack."
                )
            chain = before
            for control in audible:
                chain = StackedControl(control, window).set_previous_controlnet(chain)
            chains[id(before)] = chain
        added = {"control": chains[id(before)], "control_apply_to_uncond": False}
        return [entry[0], {**entry[1], **added}]

    if not audible:
        return conditionings
    return tuple([with_stack(entry) for entry in entries] for entries in conditionings)


class StackedControl:
    """One control of a stack as the host's CONTROL_NET, with those before it in its chain.

    What it is asked for beyond the protocol it answers as its net does.
    """

    def __init__(self, control: Control, window: Callable[[], Window] = Window) -> None:
        self.control = control
        self._window = window
        self.previous_controlnet: Any = None
        self.multigpu_clones: dict[Any, Any] = {}
        # AnimateDiff-Evolved asks for these, and tells windows in the options as well.
        self.sub_idxs = self.full_latent_length = self.context_length = None
        self._pictures: Tensor | None = None
        self._base: Callable[[], BaseModel | None] = lambda: None
        self._run: DeviceRun | None = None
        self._given: set[str] | None = None  # groups that were asked for, of what was given last
        self._read: bool | None = None  # whether any call's residuals were; None before the first
        self._fitting: set[object] = set()  # shapes that were seen to fit

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "control":  # of a copy that is not filled yet
            raise AttributeError(name)
        return getattr(self.control.net, name)

    @property
    def cond_hint_original(self) -> Tensor:
        """The hint (B, 3, H, W); masks are further channels, so that whoever cuts the hint in
        place cuts them along with it."""
        if self._pictures is None:
            self._pictures = _pictures_of(self.control)
        return self._pictures

    @cond_hint_original.setter
    def cond_hint_original(self, pictures: Tensor) -> None:
        self.control = _with_pictures(self.control, pictures)
        self._pictures = pictures
        self._end()

    @property
    def cond_hint(self) -> None:
        """None: which hint is ready for the net changes from call to call."""
        return None

    @cond_hint.setter
    def cond_hint(self, prepared: Any) -> None:
        if prepared is not None:
            raise UserError(
                f"{self.control.name}: another patch puts pieces of the hint into the net itself, "
                "past the stack; use ComfyUI's Apply ControlNet with it."
            )

    @property
    def strength(self) -> float:
        """The control's strength."""
        return self.control.strength

    @strength.setter
    def strength(self, value: float) -> None:
        self._become(strength=value)

    @property
    def timestep_percent_range(self) -> tuple[float, float]:
        """The control's range by the percent rule; the whole run where it counts steps."""
        span = self.control.span
        return (span.start, span.end) if isinstance(span, Span) else (0.0, 1.0)

    @timestep_percent_range.setter
    def timestep_percent_range(self, value: tuple[float, float]) -> None:
        self._become(span=Span(*value))

    def copy(self) -> StackedControl:
        """The same control without the chain and the run of this one."""
        return StackedControl(self._as_cut(), self._window)

    def set_cond_hint(
        self,
        cond_hint: Tensor,
        strength: float = 1.0,
        timestep_percent_range: tuple[float, float] = (0.0, 1.0),
        vae: Any = None,
        extra_concat: Sequence[Tensor] = (),
    ) -> StackedControl:
        """Another hint (B, 3, H, W), strength and range, as nodes that apply a net set them."""
        if extra_concat:
            raise UserError(f"{self.control.name}: its inpaint_mask is an input of Add ControlNet.")
        self.cond_hint_original = cond_hint
        self._become(strength=strength, span=Span(*timestep_percent_range), vae=vae)
        return self

    def set_extra_arg(self, argument: str, value: Any = None) -> None:
        """Keep an argument for the network, in a copy of the net that is this control's own."""
        net: Any = self.control.net  # no patch: those are refused
        net = net.copy()
        net.set_extra_arg(argument, value)
        self._become(net=net)

    def set_previous_controlnet(self, previous: Any) -> StackedControl:
        """Put a net before this one; returns this."""
        self.previous_controlnet = previous
        return self

    def pre_run(self, model: BaseModel, percent_to_timestep_function: Callable[..., float]) -> None:
        """Begin a run on `model`; raises UserError for a net of another family."""
        require_same_family(self.control.name, self.control.net, model)
        self._end()
        # Weakly: a host that fails in mid-run cleans no control up.
        self._base = weakref.ref(model)
        if self.previous_controlnet is not None:
            self.previous_controlnet.pre_run(model, percent_to_timestep_function)

    def get_control(
        self,
        x_noisy: Tensor,
        t: Tensor,
        cond: Mapping[str, Any],
        batched_number: int,
        transformer_options: Mapping[str, Any],
    ) -> ControlDict | None:
        """What the chain adds to this call of the model; None for nothing."""
        before = None
        if self.previous_controlnet is not None:
            before = self.previous_controlnet.get_control(
                x_noisy, t, cond, batched_number, transformer_options
            )
        run = self._run or self._begun(transformer_options)
        call = Call.of(x_noisy, t, cond, transformer_options)
        given, _ = run.added(before, call)
        if given is None:
            return before
        base = self._base()
        if base is not None and is_compiled(base, transformer_options):
            # What watches would be traced along, for calls in which it is not there.
            return given.residuals().as_dict()
        self._note_read()
        self._given = given.asked  # not itself: it would keep the host's ids alive
        self._see_them_fit(given, call)
        return given

    def cleanup(self) -> None:
        """End the run of the whole chain; raises what a net of ours failed with."""
        self._note_read()
        if self._read is False:
            log.warning(
                "%s never reached the model in this run: it takes no residuals, or another patch "
                "answers in its place",
                self.control.name,
            )
        failures = self._end()
        self._base = lambda: None
        if self.previous_controlnet is not None:
            self.previous_controlnet.cleanup()
        if failures:
            raise failures[0]

    def get_models(self) -> list[Any]:
        """What the host must load for the chain."""
        before = [] if self.previous_controlnet is None else self.previous_controlnet.get_models()
        return [*before, *self.control.net.get_models()]

    def get_models_only_self(self) -> list[Any]:
        """What the host must load for this control."""
        return self.control.net.get_models()

    def inference_memory_requirements(self, dtype: Any) -> int:
        """Bytes that the chain needs beside what `get_models` loads."""
        chain = self.previous_controlnet
        before: int = 0 if chain is None else chain.inference_memory_requirements(dtype)
        return before + self.control.net.inference_memory_requirements(dtype)

    def get_extra_hooks(self) -> list[Any]:
        """The hooks of those before it; its own net has none."""
        chain = self.previous_controlnet
        return [] if chain is None else list(chain.get_extra_hooks())

    def get_instance_for_device(self, device: Any) -> StackedControl:
        """Itself: a stack samples on one device."""
        return self

    def deepclone_multigpu(self, load_device: Any, autoregister: bool = False) -> Any:
        """Refused."""
        raise UserError(
            f"{self.control.name}: a control stack samples on one GPU; take the MultiGPU node "
            "away, or use ComfyUI's Apply ControlNet."
        )

    def _become(self, **changed: Any) -> None:
        self.control = replace(self.control, **changed)
        self._end()

    def _as_cut(self) -> Control:
        """The control, with masks and hint as somebody may have written them into the pictures."""
        if self._pictures is None or self._pictures._version == 0:
            return self.control
        return _with_pictures(self.control, self._pictures)

    def _begun(self, options: Mapping[str, Any]) -> DeviceRun:
        """The state of a run that begins. It ends with the host's conditioning at the latest, whose
        ids live no longer than a run: hosts clean up nothing after an error."""
        base = self._base()
        if base is None:
            raise RuntimeError(f"{self.control.name}: get_control was called before pre_run")
        run = self._run = DeviceRun((self._as_cut(),), base, options, self._window())
        for marker in options.get("uuids", ())[:1]:
            with suppress(TypeError):  # an id of a kind that cannot be watched
                weakref.finalize(marker, _end_run, weakref.ref(self), weakref.ref(run))
        return run

    def _see_them_fit(self, watched: Watched, call: Call) -> None:
        """Have the model's first call of such a shape raise where a residual does not fit.

        Only where this is the end of the chain: the next net of one reads what it adds to.
        """
        blocks = getattr(getattr(self._base(), "diffusion_model", None), "input_blocks", None)
        if blocks is None or call.x.shape in self._fitting:
            return
        check = fit_check(len(blocks), watched)
        watched.keep = True
        last: list[bool] = []  # told at the first block

        def checked(features: Tensor, given: Mapping[str, Any]) -> Tensor:
            self._fitting.add(call.x.shape)
            last.append("output" not in watched.asked)
            with named(self.control.name, NotAppliedError):
                return check(features, given) if last[0] else features

        options: Any = call.options
        patches = options.get("patches", {})
        options["patches"] = {**patches, BLOCK_PATCH: [*patches.get(BLOCK_PATCH, ()), checked]}

    def _end(self) -> list[Exception]:
        run, self._run, self._read, self._given = self._run, None, None, None
        self._fitting.clear()
        return [] if run is None else run.close()

    def _note_read(self) -> None:
        if self._given is not None:
            self._read = bool(self._read) or bool(self._given)
            self._given = None


def _end_run(
    link: Callable[[], StackedControl | None], run: Callable[[], DeviceRun | None]
) -> None:
    """End that run alone: its ids may go when the next one is under way. Nobody is there to be told
    what a net fails with."""
    control = link()
    if control is not None and control._run is not None and control._run is run():
        control._end()


def _pictures_of(control: Control) -> Tensor:
    """The hint (N, 3, H, W), and the masks of its size as further channels."""
    height, width = size = control.hint.shape[-2:]
    masks = [one[:, None] for one in _masks_of(control)]
    if control.inpaint_mask is not None:  # which is cut about its centre, as for the net
        masks.append(middle(control.inpaint_mask[:, None], width / height))
    if not masks:
        return control.hint
    count = max(len(one) for one in (control.hint, *masks))
    resized = [F.interpolate(mask.to(control.hint), size, mode="bilinear") for mask in masks]
    return torch.cat([control.view.spread(one, count) for one in (control.hint, *resized)], dim=1)


def _with_pictures(control: Control, pictures: Tensor) -> Control:
    """The control with what `_pictures_of` gave, cut or resized by somebody; a hint without masks
    leaves those as they are."""
    changed: dict[str, Any] = {"hint": pictures[:, :3]}
    count = len(_masks_of(control)) + (control.inpaint_mask is not None)
    if pictures.shape[1] == 3 + count:
        masks = list(pictures[:, 3:].unbind(1))
        if control.mask is not None:
            changed["mask"] = masks.pop(0)
        changed["also"] = tuple(
            replace(factor, masks=masks.pop(0)) if isinstance(factor, Mask) else factor
            for factor in control.also
        )
        if masks:
            changed["inpaint_mask"] = masks.pop(0)
    return replace(control, **changed)


def _masks_of(control: Control) -> list[Tensor]:
    """Where it acts: its own mask, then those among its factors."""
    own = [] if control.mask is None else [control.mask]
    return own + [factor.masks for factor in control.also if isinstance(factor, Mask)]
