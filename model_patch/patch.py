"""`patch(model, stack)`: the stack around the host's locked model.

Wrappers on a clone of the MODEL: "apply_model" adds the residuals at every step, "sampler_sample"
bounds a sampling run, so that run state is dropped at its end, also when it ends with an error;
"prepare_sampling" tells the host's memory manager what the nets need, "calc_cond_batch" sees where
the conditioning's areas lie. A run's state travels in the run's own options, by which each call
finds it: several runs of one MODEL may go on at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from uuid import uuid4

from torch import Tensor

from ..ground.errors import UserError
from .applied import KEY, marked_call, marked_outside
from .control import ControlStack
from .family import require_same_family
from .patch_net import PatchNet
from .protocols import ControlDict, ControlNet, Model
from .record import ATTACHED, Recording, recording_of, recordings
from .recorder import Recorder
from .run import Session
from .schedule import Window
from .usable import require_usable

AnyModel = TypeVar("AnyModel", bound=Model)


def patch(
    model: AnyModel,
    stack: ControlStack,
    model_file: str = "",
    window: Callable[[], Window] = Window,
    record: bool = False,
) -> AnyModel:
    """A clone of `model` that samples under `stack`; `model` itself stays as it is.

    Strength, span, mask and mode of each control hold as `Control` says; residuals of several
    controls, and of control that is already on the conditioning, add up. `model_file` is what
    errors call the model; `window` is asked, as a run begins, which of a sampler's steps it takes.
    With `record` each run is measured (`record.py`), for `recordings` of the MODEL.

    Raises:
        UserError: at once, for a net of another family than the model's or one without the VAE
            that it needs; while sampling, when residuals do not fit or are not finite. Names the
            control.
    """
    patched = cast(AnyModel, model.clone())  # a clone is of its model's own class
    audible = [control for control in stack if not control.silent]
    for control in audible:
        require_usable(control)
        require_same_family(control.name, control.net, patched.model, model_file)
    recording = recording_of(record)
    if recording is not None:
        patched.set_attachments(ATTACHED, (*recordings(patched), recording))
    if not audible and recording is None:
        return patched
    nets = [net for control in audible for net in control.net.get_models()]
    known = patched.get_additional_models_with_key(KEY)
    patched.set_additional_models(KEY, [*known, *_new_only(nets, known)])
    for kind, wrapper in _wrappers(stack, window, recording).items():
        patched.add_wrapper_with_key(kind, KEY, wrapper)
    return patched


def _new_only(nets: list[Any], known: list[Any]) -> list[Any]:
    new: list[Any] = []
    for net in nets:
        if not any(_weights(net) is _weights(other) for other in [*known, *new]):
            new.append(net)
    return new


def _weights(net: Any) -> Any:
    # ComfyUI clones a MODEL's additional models along with it, and would load each clone.
    return getattr(net, "model", net)


@dataclass(frozen=True)
class _Needs:
    """The nets' memory, in the form in which the host asks a conditioning's control for it. Their
    weights are not listed: the host has them as additional models."""

    nets: tuple[ControlNet | PatchNet, ...]

    def get_models(self) -> list[Any]:
        return []

    def inference_memory_requirements(self, dtype: Any) -> int:
        return sum(net.inference_memory_requirements(dtype) for net in self.nets)


def _wrappers(
    stack: ControlStack, window: Callable[[], Window], recording: Recording | None
) -> dict[str, Callable[..., Any]]:
    # Plain closures: hosts copy the containers of wrappers, deeply in some versions, and a function
    # is never copied.
    misfits: set[str] = set()  # said already
    mine = uuid4().hex  # tells this patch's runs from those of another on the same MODEL

    def run_of(options: Mapping[str, Any]) -> Session | None:
        found: Session | None = options.get(KEY, {}).get(mine)
        return found

    def sampler_sample(
        executor: Callable[..., Any],
        guider: Any,
        sigmas: Tensor,
        extra_args: Mapping[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        model_options = extra_args.get("model_options", {})
        options = model_options.get("transformer_options", {})
        part = window()
        levels = sigmas.tolist()
        before = None if recording is None else recording.begun(levels)
        recorder = None if recording is None else Recorder(levels, part)
        with Session(stack, misfits, part, recorder) as session:
            own = {
                **options,
                KEY: {**options.get(KEY, {}), mine: session},
                "wrappers": marked_outside(options.get("wrappers", {})),
            }
            told = {**extra_args, "model_options": {**model_options, "transformer_options": own}}
            result = executor(guider, sigmas, told, *args, **kwargs)
            session.tell_missed(guider, sigmas)
        if recording is not None and recorder is not None:
            base = guider.inner_model
            blocks = getattr(base.diffusion_model, "input_blocks", None)
            count = None if blocks is None else len(blocks)
            recording.keep(recorder.record(stack, base.model_sampling, count), before)
        return result

    def prepare_sampling(
        executor: Callable[..., Any],
        model: Any,
        noise_shape: Any,
        conds: Mapping[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if model.get_additional_models_with_key("multigpu"):
            names = " + ".join(control.name for control in stack)
            raise UserError(
                f"{names}: a control stack samples on one GPU; take the MultiGPU node away, or use "
                "ComfyUI's Apply ControlNet."
            )
        needs = _Needs(tuple(control.net for control in stack if not control.silent))
        declared = {**conds, KEY: [*conds.get(KEY, ()), {"control": needs}]}
        real_model, _, *rest = executor(model, noise_shape, declared, *args, **kwargs)
        return (real_model, conds, *rest)

    def calc_cond_batch(
        executor: Callable[..., Any],
        model: Any,
        conds: Any,
        x: Tensor,
        t: Tensor,
        model_options: Mapping[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        session = run_of(model_options.get("transformer_options", {}))
        if session is not None:
            session.note_areas(conds, x)
        return executor(model, conds, x, t, model_options, *args, **kwargs)

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
        known = run_of(options)
        if known is None:  # called outside of any sampling run, which would have put the mark there
            options = {**options, "wrappers": marked_outside(options.get("wrappers", {}))}
            executor = marked_call(executor)
        given = {"c_concat": c_concat, "c_crossattn": c_crossattn, "transformer_options": options}
        cond = {**{k: v for k, v in given.items() if v is not None}, **kwargs}

        def model(merged: ControlDict | None, options: Mapping[str, Any]) -> Any:
            return executor(x, t, c_concat, c_crossattn, merged, options, **kwargs)

        # Outside of a run nobody else will clean up.
        with nullcontext(known) if known else Session(stack, misfits) as session:
            return session.apply(control, (x, t, cond, options), executor.class_obj, model)

    return {
        "sampler_sample": sampler_sample,
        "prepare_sampling": prepare_sampling,
        "calc_cond_batch": calc_cond_batch,
        "apply_model": apply_model,
    }
