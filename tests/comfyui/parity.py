"""The same control twice: ComfyUI's own chain on the conditioning, and our stack on the MODEL.

Everything goes through the real nodes of both. A `Case` is what both sides are given; `check`
samples plain, through the core, through us and plain once more, and asks for the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from controlstack.model_patch.factors import Factor
from controlstack.model_patch.view import AreaHint
from controlstack.nodes.stack import (
    ControlStackAdd,
    ControlStackApply,
    ControlStackApplyConditioning,
)
from tests.comfyui.models import Shelf

CONTEXT = {
    **{"sd15": 768, "sdxl": 2048, "sd3": 4096, "flux": 4096, "chroma": 4096, "qwen": 3584},
    **{"cascade": 1280, "hydit": 64, "hydit_real": 1024},
}
SECOND_CONTEXT = {"hydit": 64, "hydit_real": 2048}
POOLED = {"sdxl": 1280, "sd3": 2048, "flux": 768, "cascade": 1280}
CHANNELS = dict.fromkeys(("sd3", "flux", "chroma", "qwen", "cascade"), 16)
Conditioning = list[list[Any]]


def call(module: str, name: str, **inputs: Any) -> Any:
    """What a node of ComfyUI gives as its first output, whichever of its two node APIs it is of."""
    node = getattr(import_module(module), name)
    if hasattr(node, "define_schema"):
        return node.execute(**inputs).result[0]
    return getattr(node(), node.FUNCTION)(**inputs)[0]


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def picture(seed: int, batch: int = 1, height: int = 100, width: int = 130) -> Tensor:
    """An IMAGE, (batch, height, width, 3) in 0..1; of no size that a net would like."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((batch, height, width, 3), generator=generator)


def prompt(family: str, seed: int, tokens: int = 77, **extra: Any) -> Conditioning:
    """A CONDITIONING such as a text encoder gives; `extra` are its further entries."""
    kind = family.split("_")[0]
    entries: dict[str, Any] = dict(extra)
    if kind in POOLED:
        entries["pooled_output"] = noise(seed + 1, 1, POOLED[kind])
    if kind == "chroma":  # its encoder gives none
        entries["pooled_output"] = None
    if family in SECOND_CONTEXT:  # a second encoder, and which of the tokens are words
        entries["conditioning_mt5xl"] = noise(seed + 2, 1, 256, SECOND_CONTEXT[family])
        entries["attention_mask"] = (torch.arange(tokens) < 20)[None].long()
        entries["attention_mask_mt5xl"] = (torch.arange(256) < 30)[None].long()
    width = CONTEXT.get(family, CONTEXT.get(kind))
    assert width is not None
    return [[noise(seed, 1, tokens, width), entries]]


@dataclass(frozen=True, eq=False)
class Line:
    """One control, as both sides' nodes take it."""

    net: Any
    image: Tensor
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    vae: Any = None
    area_hint: AreaHint = "whole"  # the core has no other
    mask: Tensor | None = None  # the core has none
    inpaint_mask: Tensor | None = None
    union_type: str = "auto"
    factor: tuple[Factor, ...] = ()  # the core has none

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs that ControlNetApplyAdvanced and Add ControlNet share, by the same names."""
        given = {
            "control_net": self.net,
            "image": self.image,
            "strength": self.strength,
            "start_percent": self.start,
            "end_percent": self.end,
        }
        return given if self.vae is None else {**given, "vae": self.vae}


@dataclass(frozen=True, eq=False)
class Case:
    """A model, its prompts and how it is sampled."""

    family: str
    model: Any
    positive: Conditioning
    negative: Conditioning
    latent: dict[str, Any]
    sampler: str = "euler"
    scheduler: str = "normal"
    steps: int = 3
    cfg: float = 7.5
    denoise: float = 1.0
    seed: int = 7
    sample: Callable[[Case], Tensor] = field(default=lambda case: ksampler(case))

    @cached_property
    def result(self) -> Tensor:
        """What comes out; sampled once."""
        return self.sample(self)

    @property
    def again(self) -> Tensor:
        """What comes out of sampling it once more."""
        return self.sample(self)


def case_of(shelf: Shelf, family: str, **changes: Any) -> Case:
    """A plain case: one latent of 6 x 6, two prompts of 77 tokens."""
    channels = CHANNELS.get(family.split("_")[0], 4)
    case = Case(
        family=family,
        model=shelf.model(family),
        positive=prompt(family, 1),
        negative=prompt(family, 11),
        latent={"samples": torch.zeros(1, channels, 6, 6)},
    )
    return replace(case, **changes)


def ksampler(case: Case) -> Tensor:
    """Through the core's KSampler node."""
    latent = call(
        "nodes",
        "KSampler",
        model=case.model,
        seed=case.seed,
        steps=case.steps,
        cfg=case.cfg,
        sampler_name=case.sampler,
        scheduler=case.scheduler,
        positive=case.positive,
        negative=case.negative,
        latent_image=case.latent,
        denoise=case.denoise,
    )
    samples: Tensor = latent["samples"]
    return samples


def core(case: Case, lines: Sequence[Line]) -> Case:
    """The case under the core's chain: ControlNetApplyAdvanced, once a line; with an inpaint_mask
    ControlNetInpaintingAliMamaApply."""
    prompts = case.positive, case.negative
    for line in lines:
        if line.inpaint_mask is None:
            node = import_module("nodes").ControlNetApplyAdvanced()
            prompts = node.apply_controlnet(*prompts, **line.inputs)
        else:
            made = import_module("comfy_extras.nodes_controlnet").ControlNetInpaintingAliMamaApply
            apply = getattr(made, "execute", None) or made().apply_inpaint_controlnet
            result = apply(*prompts, mask=line.inpaint_mask, **line.inputs)
            prompts = getattr(result, "result", result)
    positive, negative = prompts
    return replace(case, positive=positive, negative=negative)


def stack(lines: Sequence[Line]) -> Any:
    """The lines as our CONTROL_STACK."""
    controls: Any = ()
    for line in lines:
        (controls,) = ControlStackAdd().add(
            stack=controls,
            area_hint=line.area_hint,
            mask=line.mask,
            inpaint_mask=line.inpaint_mask,
            union_type=line.union_type,
            factor=line.factor,
            **line.inputs,
        )
    return controls


def ours(case: Case, lines: Sequence[Line]) -> Case:
    """The case under our stack."""
    (model,) = ControlStackApply().apply(case.model, stack(lines))
    return replace(case, model=model)


def on_prompts(case: Case, lines: Sequence[Line]) -> Case:
    """The case under our stack on its conditioning."""
    node = ControlStackApplyConditioning()
    positive, negative = node.apply(case.positive, case.negative, stack(lines))
    return replace(case, positive=positive, negative=negative)


class Parity:
    """Compares, and writes down for the run's summary what was the same in every bit."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self._properties = properties

    def check(self, case: Case, lines: Sequence[Line], effect: bool | None = True) -> Tensor:
        """The core's chain and our stack of the same lines, on the model and on the conditioning,
        give the same; see `same`."""
        result = self.same(case, core(case, lines), ours(case, lines), effect)
        if all(line.area_hint == "whole" for line in lines):
            there = on_prompts(case, lines).result
            assert torch.equal(there, result), "the stack on the conditioning differs"
            self._properties.append(("bit-equal", f"{case.family}, conditioning"))
        return result

    def check_all(self, plain: Case, cases: Mapping[str, Case], lines: Sequence[Line]) -> None:
        """As `check`, for many cases of one model; names all that differ."""
        before = plain.result
        expected = {name: core(case, lines).result for name, case in cases.items()}
        results = {name: ours(case, lines).result for name, case in cases.items()}
        without = {name: case.result for name, case in cases.items()}
        equal = [name for name in cases if torch.equal(results[name], expected[name])]
        self._properties += [("bit-equal", plain.family)] * len(equal)
        there = {name: on_prompts(case, lines).result for name, case in cases.items()}
        differ = [name for name in cases if not torch.equal(there[name], expected[name])]
        assert not differ, f"the stack on the conditioning differs: {sorted(differ)}"
        self._properties += [("bit-equal", f"{plain.family}, conditioning")] * len(cases)
        silent = [name for name in cases if torch.equal(expected[name], without[name])]
        assert len(equal) == len(cases), f"differ from the core: {sorted(set(cases) - set(equal))}"
        assert not silent, f"control had no effect: {silent}"
        assert torch.equal(plain.again, before), "the model samples differently afterwards"

    def same(self, plain: Case, theirs: Case, mine: Case, effect: bool | None = True) -> Tensor:
        """Both sides give the same bits, not those of no control (exactly those, if `effect` is
        False; either, if None), and the model samples plain as before. Returns the result."""
        before = plain.result
        expected, result = theirs.result, mine.result
        assert expected.isfinite().all(), "the core's result is not finite: a bad test model"
        assert torch.equal(result, expected), (
            f"differs from the core by {(result - expected).abs().max():.3g} "
            f"of {expected.abs().max():.3g}"
        )
        unchanged = torch.equal(expected, before)
        assert effect is None or unchanged is not effect, f"control had an effect: {not unchanged}"
        assert torch.equal(plain.again, before), "the model samples differently afterwards"
        self._properties.append(("bit-equal", plain.family))
        return result
