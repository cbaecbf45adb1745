"""What nodes do in a plan: those that load, apply, schedule and sample, on stand-ins.

Node types that the embedded host does not run are declared with the inputs that a plan needs, by
ComfyUI's names and in its order, so that the values of a canvas are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from ...ground.errors import UserError
from ...ground.wording import shown
from ...model_patch.control import Control, ControlStack
from ...model_patch.factors import Span
from ...model_patch.schedule import Schedule, Window
from ...nodes.rows import Row, rows_of
from ...nodes.rows_node import controls_of
from ..core_nodes.declare import number
from ..core_nodes.sampling import STEPS
from ..sampling.sample import windowed
from ..sampling.samplers import SAMPLERS
from ..sampling.schedules import SCHEDULES, karras_between, schedule
from .files import facts_of
from .values import (
    NO_MASK,
    NO_PICTURE,
    UNKNOWN,
    Guider,
    Latent,
    Model,
    Net,
    Prompt,
    Sampled,
    Unknown,
    picture,
)

Act = Callable[..., tuple[Any, ...]]
"""Takes a node's inputs by name, gives its outputs."""

FURTHER: dict[str, type[Any]] = {}
"""Node types that are declared here alone, by id: V1 classes without a function."""

ACTS: dict[str, Act] = {}
"""By node type."""

PENULTIMATE = {name for name, sampler in SAMPLERS.items() if sampler.drop_penultimate}
"""Samplers whose KSampler leaves out the last noise level above 0 (`comfy/samplers.py`)."""


def act(*node_types: str) -> Callable[[Act], Act]:
    """What these node types do."""

    def register(function: Act) -> Act:
        ACTS.update(dict.fromkeys(node_types, function))
        return function

    return register


def _declare(node_type: str, inputs: Mapping[str, Any], *outputs: str) -> None:
    required = {name: one if isinstance(one, tuple) else (one,) for name, one in inputs.items()}
    FURTHER[node_type] = type(
        node_type,
        (),
        {
            "INPUT_TYPES": staticmethod(lambda: {"required": required}),
            "RETURN_TYPES": outputs,
            "FUNCTION": "run",
        },
    )


# Loaders.


@act("CheckpointLoaderSimple", "CheckpointLoader", "ImageOnlyCheckpointLoader")
def _checkpoint(ckpt_name: Any = "", **_: Any) -> tuple[Any, ...]:
    return Model(_text(ckpt_name), "checkpoints"), Unknown(), Unknown()


@act("UNETLoader")
def _unet(unet_name: Any = "", **_: Any) -> tuple[Any, ...]:
    return (Model(_text(unet_name), "diffusion_models"),)


_declare("ModelPatchLoader", {"name": "STRING"}, "MODEL_PATCH")


@act("ControlNetLoader", "ControlStackLoader", "DiffControlNetLoader")
def _net(control_net_name: Any = "", **_: Any) -> tuple[Any, ...]:
    return (Net(_text(control_net_name)),)


@act("ModelPatchLoader")
def _patch(name: Any = "", **_: Any) -> tuple[Any, ...]:
    return (Net(_text(name)),)


@act("SetUnionControlNetType")
def _union(control_net: Any = None, type: Any = "auto", **_: Any) -> tuple[Any, ...]:
    net = control_net if isinstance(control_net, Net) else Net()
    return (replace(net, types=() if type == "auto" else (_text(type),)),)


_declare("ModelSamplingSD3", {"model": "MODEL", "shift": number(3.0, 0.0, 100.0, 0.01)}, "MODEL")


@act("ModelSamplingSD3")
def _shifted(model: Any = None, shift: Any = 3.0, **_: Any) -> tuple[Any, ...]:
    return (replace(_model(model), shift=_number(shift, 3.0)),)


# Controls.


@act("ControlNetApply")
def apply_to_one(conditioning: Any = None, **given: Any) -> tuple[Any, ...]:
    """The core's old node: one prompt, and the other one where that has no control."""
    return (_chained(_prompt(conditioning), both=True, **given),)


@act("ControlNetApplyAdvanced", "ControlNetApplySD3", "ControlNetInpaintingAliMamaApply")
def apply_to_both(positive: Any = None, negative: Any = None, **given: Any) -> tuple[Any, ...]:
    """Both prompts; what had the same controls before has the same one more."""
    made: dict[int, Control] = {}
    return tuple(
        _chained(_prompt(one), both=False, made=made, **given) for one in (positive, negative)
    )


def _chained(
    prompt: Prompt, both: bool, made: dict[int, Control] | None = None, **given: Any
) -> Prompt:
    known = {} if made is None else made

    def after(chain: ControlStack) -> ControlStack:
        before = id(chain[-1]) if chain else 0
        if before not in known:
            known[before] = _control(len(chain) + 1, **given)
        return (*chain, known[before])

    return prompt.with_chain(after, both)


def _control(
    place: int,
    control_net: Any = None,
    image: Any = None,
    strength: Any = 1.0,
    start_percent: Any = 0.0,
    end_percent: Any = 1.0,
    **_: Any,
) -> Control:
    net: Any = control_net if isinstance(control_net, Net) else Net()
    return Control(
        net=net,
        hint=picture(image).movedim(-1, 1),
        name=f"control {place} ({net.file or 'a ControlNet'})",
        strength=_number(strength, 1.0),
        span=Span(_number(start_percent, 0.0), _number(end_percent, 1.0)),
        union_types=net.types,
    )


@act("ControlStackApply")
def _apply(model: Any = None, stack: Any = (), **_: Any) -> tuple[Any, ...]:
    before = _model(model)
    return (replace(before, stack=(*before.stack, *_stack(stack))),)


@act("ControlStackApplyConditioning")
def _apply_to_prompts(
    positive: Any = None, negative: Any = None, stack: Any = (), **_: Any
) -> tuple[Any, ...]:
    prompts = (_prompt(positive), Prompt(()) if negative is None else _prompt(negative))
    added = _stack(stack)
    return tuple(
        one.with_chain(lambda chain: (*chain, *added), both=False) if added else one
        for one in prompts
    )


@act("ControlStackRows")
def _rows(
    controls: Any = None,
    model: Any = None,
    stack: Any = (),
    positive: Any = None,
    negative: Any = None,
    **wires: Any,
) -> tuple[Any, ...]:
    """As its node, with nets that are names alone."""

    def net_of(row: Row, wired: Any) -> Net:
        return wired if row.file is None and isinstance(wired, Net) else Net(row.file or "")

    known = {name: _standing(name, value) for name, value in wires.items()}
    before = _stack(stack)
    own = controls_of(
        rows_of(controls), known, len(before), None, net_of,
        lambda row: net_of(row, known.get(f"control_net_{row.id}")).file,
    )  # fmt: skip
    whole = (*before, *own)
    (patched,) = _apply(model, whole)
    return (patched, whole, *_apply_to_prompts(positive, negative, whole), UNKNOWN)


def _standing(name: str, value: Any) -> Any:
    """A row's wire, with what stands for a picture or a mask that is not known."""
    if not isinstance(value, Unknown):
        return value
    stands = {"hint": NO_PICTURE, "inpaint_image": NO_PICTURE, "mask": NO_MASK}
    return stands.get(name.rstrip("_0123456789"))


@act("ConditioningCombine")
def _combine(conditioning_1: Any = None, conditioning_2: Any = None, **_: Any) -> tuple[Any, ...]:
    return (Prompt((*_prompt(conditioning_1).entries, *_prompt(conditioning_2).entries)),)


# Latents and plain values.


@act("EmptyLatentImage", "EmptySD3LatentImage")
def _empty(batch_size: Any = 1, **_: Any) -> tuple[Any, ...]:
    return (Latent(batch_size if isinstance(batch_size, int) else 1),)


@act(*(f"Primitive{kind}" for kind in ("Int", "Float", "String", "StringMultiline", "Boolean")))
def _primitive(value: Any = None, **_: Any) -> tuple[Any, ...]:
    return (value,)


# Noise levels.


@act("BasicScheduler")
def _basic(
    model: Any = None, scheduler: Any = "", steps: Any = 20, denoise: Any = 1.0, **_: Any
) -> tuple[Any, ...]:
    if scheduler not in SCHEDULES:
        return (Unknown(),)
    sampling = facts_of(_model(model)).sampling
    return (schedule(scheduler, sampling, _steps(steps), _number(denoise, 1.0)),)


@act("KarrasScheduler")
def _karras(
    steps: Any = 20, sigma_max: Any = 14.6, sigma_min: Any = 0.03, rho: Any = 7.0, **_: Any
) -> tuple[Any, ...]:
    return (karras_between(sigma_max, sigma_min, _steps(steps), rho),)


@act("SplitSigmas")
def _split(sigmas: Any = None, step: Any = 0, **_: Any) -> tuple[Any, ...]:
    if not isinstance(sigmas, Tensor) or not isinstance(step, int):
        return Unknown(), Unknown()
    return sigmas[: step + 1], sigmas[step:]


@act("SplitSigmasDenoise")
def _split_denoise(sigmas: Any = None, denoise: Any = 1.0, **_: Any) -> tuple[Any, ...]:
    if not isinstance(sigmas, Tensor):
        return Unknown(), Unknown()
    last = round(max(len(sigmas) - 1, 0) * _number(denoise, 1.0))
    return sigmas[:-last] if last else sigmas[:0], sigmas[-(last + 1) :]


# Guiders and samplers.


@act("BasicGuider")
def _guide_one(model: Any = None, conditioning: Any = None, **_: Any) -> tuple[Any, ...]:
    return (Guider(_model(model), _prompt(conditioning)),)


@act("CFGGuider")
def _guide(
    model: Any = None, positive: Any = None, negative: Any = None, cfg: Any = 8.0, **_: Any
) -> tuple[Any, ...]:
    return (Guider(_model(model), _prompt(positive), _prompt(negative), _number(cfg, 8.0)),)


@act("KSampler")
def sample(
    steps: Any = 20,
    scheduler: Any = "normal",
    sampler_name: Any = "",
    denoise: Any = 1.0,
    latent_image: Any = None,
    **guided: Any,
) -> tuple[Any, ...]:
    """A whole run, or the end of one."""
    (guider,) = _guide(**guided)
    steps, denoise = _steps(steps), _number(denoise, 1.0)
    name, notes = _known_scheduler(scheduler)
    sampling = facts_of(guider.model).sampling
    late = sampler_name in PENULTIMATE
    sigmas = schedule(name, sampling, steps, denoise, drop_penultimate=late)
    words = f"{steps} steps, {scheduler}" + (f", denoise {denoise:g}" if denoise < 1 else "")
    return (
        _sampled(guider, Schedule(sampling, tuple(sigmas.tolist())), words, latent_image, notes),
    )


@act("KSamplerAdvanced")
def _sample_some(
    steps: Any = 20,
    scheduler: Any = "normal",
    sampler_name: Any = "",
    start_at_step: Any = 0,
    end_at_step: Any = 10000,
    return_with_leftover_noise: Any = "disable",
    latent_image: Any = None,
    **guided: Any,
) -> tuple[Any, ...]:
    (guider,) = _guide(**guided)
    steps = _steps(steps)
    first = start_at_step if isinstance(start_at_step, int) else 0
    last = end_at_step if isinstance(end_at_step, int) else 10000
    name, notes = _known_scheduler(scheduler)
    sampling = facts_of(guider.model).sampling
    sigmas = schedule(name, sampling, steps, drop_penultimate=sampler_name in PENULTIMATE)
    sigmas = windowed(sigmas, first, last, return_with_leftover_noise == "disable")
    levels, window = tuple(sigmas.tolist()), Window(min(first, steps), steps)
    words = f"steps {window.before} to {min(last, steps)} of {steps}, {scheduler}"
    return (_sampled(guider, Schedule(sampling, levels, window), words, latent_image, notes),)


@act("SamplerCustom")
def _sample_custom(sigmas: Any = None, latent_image: Any = None, **guided: Any) -> tuple[Any, ...]:
    (guider,) = _guide(**guided)
    return (_on_levels(guider, sigmas, latent_image),) * 2


@act("SamplerCustomAdvanced")
def _sample_guided(
    guider: Any = None, sigmas: Any = None, latent_image: Any = None, **_: Any
) -> tuple[Any, ...]:
    if isinstance(guider, Guider):
        return (_on_levels(guider, sigmas, latent_image),) * 2
    note = "its guider comes from a node that is not known here: what controls it is not shown"
    return (_on_levels(Guider(Model(), Prompt()), sigmas, latent_image, note),) * 2


def _on_levels(guider: Guider, sigmas: Any, latent: Any, *notes: str) -> Sampled:
    if not isinstance(sigmas, Tensor):
        words = "its noise levels come from a node or a scheduler that is not known here"
        return _sampled(guider, None, words, latent, notes)
    whole = Schedule(facts_of(guider.model).sampling, tuple(sigmas.tolist()))
    return _sampled(guider, whole, f"{whole.steps} steps", latent, notes)


def _sampled(
    guider: Guider, whole: Schedule | None, words: str, latent: Any, notes: tuple[str, ...]
) -> Sampled:
    before = latent if isinstance(latent, Latent) else Latent()
    return Sampled(before.count, before.passes + 1, guider, whole, words, notes)


def _known_scheduler(name: Any) -> tuple[str, tuple[str, ...]]:
    if name in SCHEDULES:
        return name, ()
    return "normal", (f"the scheduler {shown(name)} is not known here: normal stands for it",)


def _steps(value: Any) -> int:
    if not isinstance(value, int):
        return 20
    if not STEPS["least"] <= value <= STEPS["most"]:  # through a link nobody has looked at it
        raise UserError(f"steps is {value}; it must be from {STEPS['least']} to {STEPS['most']}.")
    return value


def _number(value: Any, default: float) -> float:
    return float(value) if isinstance(value, (int, float)) else default


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _model(value: Any) -> Model:
    return value if isinstance(value, Model) else Model()


def _prompt(value: Any) -> Prompt:
    return value if isinstance(value, Prompt) else Prompt()


def _stack(value: Any) -> ControlStack:
    return value if isinstance(value, tuple) else ()
