"""Model patches as lines of a stack: the core's own nodes in every bit, and all that a line can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.model_patch.blocks import Blocks
from controlstack.model_patch.curve import Curve
from controlstack.model_patch.factors import Factor, Sides
from controlstack.model_patch.frames import FrameStrengths
from controlstack.model_patch.record import recordings
from controlstack.nodes.stack import (
    ControlStackAdd,
    ControlStackApply,
    ControlStackApplyConditioning,
)
from tests.comfyui import parity as parity_lines
from tests.comfyui.models import Shelf
from tests.comfyui.parity import Case, Parity, noise, picture
from tests.comfyui.patch_kinds import CONTEXT, KINDS, FilmVae, Kind, qwen_image_patch

NAMES = tuple(KINDS)
MOST = tuple(name for name in NAMES if name not in ("z-image 2.1, first weights", "z-image lite"))
ONE_OF_EACH = ("z-image 2.1", "qwen-image", "anima", "wan uni3c")
HEIGHT, WIDTH = 6, 10


@dataclass(frozen=True, eq=False)
class Line:
    """One model patch, as both sides' nodes take it."""

    kind: Kind
    patch: Any
    image: Tensor
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    given: tuple[tuple[str, Tensor], ...] = ()  # the core's input -> a mask or a picture
    factors: tuple[Factor, ...] = ()
    mask: Tensor | None = None

    def on_core(self, model: Any) -> Any:
        kind = import_node(self.kind.node)
        inputs = {"model_patch": self.patch, self.kind.picture: self.image, **dict(self.given)}
        if self.kind.vae is not None:
            inputs["vae"] = self.kind.vae()
        if self.kind.spans:
            inputs |= {"start_percent": self.start, "end_percent": self.end}
        made = getattr(kind(), kind.FUNCTION)(model=model, strength=self.strength, **inputs)
        return made[0]

    def on(self, stack: Any) -> Any:
        (longer,) = ControlStackAdd().add(
            self.patch,
            self.image,
            self.strength,
            self.start,
            self.end,
            stack=stack,
            vae=None if self.kind.vae is None else self.kind.vae(),
            mask=self.mask,
            factor=self.factors,
            **{self.kind.inputs[name]: value for name, value in self.given},
        )
        return longer


def import_node(name: str) -> Any:
    import nodes

    return nodes.NODE_CLASS_MAPPINGS[name]


@pytest.fixture(scope="module", autouse=True)
def patch_nodes(comfy: ModuleType) -> Iterator[None]:
    """ComfyUI registers the nodes of `comfy_extras` when its server starts."""
    from comfy_extras import nodes_model_patch

    import nodes

    with pytest.MonkeyPatch.context() as patched:
        for name, kind in nodes_model_patch.NODE_CLASS_MAPPINGS.items():
            patched.setitem(nodes.NODE_CLASS_MAPPINGS, name, kind)
        yield


@pytest.fixture(scope="module")
def made(patch_nodes: None) -> dict[str, Any]:
    """Models and patches by their names, made when asked for."""
    return {}


def kind_of(name: str) -> Kind:
    """The kind, where this ComfyUI has it."""
    import nodes

    kind = KINDS[name]
    if kind.node not in nodes.NODE_CLASS_MAPPINGS:
        pytest.skip(f"this ComfyUI has no node {kind.node}")
    return kind


def model_of(made: dict[str, Any], kind: Kind) -> Any:
    if kind.family not in made:
        made[kind.family] = kind.model()
    return made[kind.family]


def patch_of(made: dict[str, Any], name: str, seed: int = 2) -> Any:
    if (name, seed) not in made:
        made[name, seed] = KINDS[name].patch(seed)
    return made[name, seed]


def case_of(made: dict[str, Any], name: str, batch: int = 1, **changes: Any) -> Case:
    kind = kind_of(name)
    frames = (kind.frames,) if kind.frames else ()
    case = Case(
        family=kind.family,
        model=model_of(made, kind),
        positive=[[noise(1, 1, 7, CONTEXT), {}]],
        negative=[[noise(11, 1, 7, CONTEXT), {}]],
        latent={"samples": torch.zeros(batch, 16, *frames, HEIGHT, WIDTH)},
        cfg=3.0,
        steps=2 if kind.family == "Z-Image" else 3,  # which has 30 layers
    )
    return replace(case, **changes)


def line_of(made: dict[str, Any], name: str, seed: int = 2, **changes: Any) -> Line:
    kind = kind_of(name)
    pictures = 9 if kind.node == "WanUni3CControlnetApply" else 1
    return replace(Line(kind, patch_of(made, name, seed), picture(seed, pictures)), **changes)


def stacked(case: Case, *lines: Line) -> Case:
    stack: Any = ()
    for line in lines:
        stack = line.on(stack)
    (model,) = ControlStackApply().apply(case.model, stack)
    return replace(case, model=model)


def core(case: Case, *lines: Line) -> Case:
    for line in lines:
        case = replace(case, model=line.on_core(case.model))
    return case


@pytest.mark.parametrize("fits", [True, False], ids=["hint of the size", "hint of another size"])
@pytest.mark.parametrize("name", NAMES)
def test_one_line_is_the_cores_node(
    made: dict[str, Any], parity: Parity, name: str, fits: bool
) -> None:
    size = (8 * HEIGHT, 8 * WIDTH) if fits else (100, 130)
    line = line_of(made, name, strength=0.8)
    line = replace(line, image=picture(3, len(line.image), *size))
    case = case_of(made, name)
    parity.same(case, core(case, line), stacked(case, line))


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_latents_of_no_whole_tokens(made: dict[str, Any], parity: Parity, name: str) -> None:
    """Some models pad them before their patches see them."""
    frames = (KINDS[name].frames,) if KINDS[name].frames else ()
    case = case_of(made, name, latent={"samples": torch.zeros(1, 16, *frames, 5, 7)}, steps=2)
    parity.same(case, core(case, line_of(made, name)), stacked(case, line_of(made, name)))


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_areas_of_two_sizes(made: dict[str, Any], parity: Parity, name: str) -> None:
    """The hint is fitted to each, not to the one from the other."""
    frames = (KINDS[name].frames,) if KINDS[name].frames else ()
    latent = {"samples": torch.zeros(1, 16, *frames, 8, 8)}
    case = case_of(made, name, latent=latent, steps=2)
    (text, _) = case.positive[0]
    wide, high = [text, {"area": (4, 8, 0, 0)}], [text, {"area": (8, 4, 0, 2)}]
    case = replace(case, positive=[wide, high, *case.positive])
    parity.same(case, core(case, line_of(made, name)), stacked(case, line_of(made, name)))


@pytest.mark.parametrize("name", NAMES)
def test_two_lines_are_the_cores_nodes_in_a_row(
    made: dict[str, Any], parity: Parity, name: str
) -> None:
    """And one line of each. When the second of the core's patches encodes its hint, amid the first
    step, the first one's state is lost for the rest of that step (0.33: whatever loads a model
    calls `to` of all patches); so the core is asked for its second picture."""
    lines = line_of(made, name, strength=0.7), line_of(made, name, seed=4, strength=1.2)
    case = case_of(made, name, sampler="dpmpp_2m")
    theirs = core(case, *lines)
    assert theirs.again.isfinite().all()
    parity.same(case, theirs, stacked(case, *lines))
    parity.same(case, theirs, stacked(core(case, lines[0]), lines[1]))


@pytest.mark.parametrize("first", ["net", "patch"])
def test_beside_a_controlnet(
    shelf: Shelf, parity: Parity, made: dict[str, Any], first: str
) -> None:
    """Qwen-Image has both: a net that adds beside the model, and a patch inside it."""
    line = line_of(made, "qwen-image", strength=0.7)
    wide = qwen_image_patch(2, blocks=13, width=64)  # as that small model is
    line = replace(line, patch=wide)
    net = parity_lines.Line(
        shelf.net("qwen instantx"), picture(5), 0.8, 0.0, 0.7, vae=shelf.vae("qwen")
    )
    case = parity_lines.case_of(shelf, "qwen")
    theirs = parity_lines.core(core(case, line), [net])
    (control,) = parity_lines.stack([net])
    stack = (control, *line.on(())) if first == "net" else (*line.on(()), control)
    (model,) = ControlStackApply().apply(case.model, stack)
    parity.same(case, theirs, replace(case, model=model))


@pytest.mark.parametrize("name", [name for name in NAMES if KINDS[name].inputs])
def test_inpainting_is_the_cores(made: dict[str, Any], parity: Parity, name: str) -> None:
    mask = (noise(3, 1, 40, 70) > 0).float()
    given: dict[str, Tensor] = {"mask": mask}
    if "inpaint_image" in KINDS[name].inputs:
        given["inpaint_image"] = picture(8)
    line = line_of(made, name, given=tuple(given.items()))
    case = case_of(made, name)
    result = parity.same(case, core(case, line), stacked(case, line))
    assert not torch.equal(result, stacked(case, replace(line, given=())).result)


@pytest.mark.parametrize("name", [name for name in NAMES if KINDS[name].spans])
def test_ranges_are_the_cores(made: dict[str, Any], parity: Parity, name: str) -> None:
    for start, end in ((0.0, 0.6), (0.3, 1.0), (0.2, 0.7)):
        line = line_of(made, name, start=start, end=end)
        case = case_of(made, name, steps=5)
        parity.same(case, core(case, line), stacked(case, line))


@pytest.mark.parametrize("name", MOST)
def test_nothing_is_the_plain_model(made: dict[str, Any], parity: Parity, name: str) -> None:
    case = case_of(made, name)
    for changes in (
        {"strength": 0.0},
        {"start": 0.6, "end": 0.4},
        {"factors": (Sides(0.0, 0.0),)},
        {"mask": torch.zeros(1, 48, 80)},
    ):
        parity.same(case, case, stacked(case, line_of(made, name, **changes)), effect=False)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_half_a_range_is_the_core_for_these_steps_alone(made: dict[str, Any], name: str) -> None:
    """The core's picture with the patch applied in the first of two samplings that are joined."""
    from controlstack.model_patch.factors import StepSpan

    line = line_of(made, name)
    case = case_of(made, name, steps=4)

    def part(model: Any, latent: Any, first: int, last: int) -> Any:
        node = __import__("nodes").KSamplerAdvanced()
        (samples,) = node.sample(
            *(model, "enable" if first == 0 else "disable", case.seed, case.steps, case.cfg),
            *(case.sampler, case.scheduler, case.positive, case.negative, latent),
            *(first, last, "enable" if last < case.steps else "disable"),
        )
        return samples

    half = part(core(case, line).model, case.latent, 0, 2)
    joined = part(case.model, half, 2, 4)["samples"]
    mine = stacked(case, replace(line, factors=(StepSpan(0, 2),)))
    torch.testing.assert_close(mine.result, joined, rtol=1e-4, atol=1e-4)
    assert not torch.equal(mine.result, core(case, line).result)


@pytest.mark.parametrize("name", MOST)
def test_a_mask_leaves_the_other_half_as_it_was(made: dict[str, Any], name: str) -> None:
    """At each place where the patch changes something, what is black in the mask is untouched."""
    case = case_of(made, name, steps=2)
    left = torch.zeros(1, 8 * HEIGHT, 8 * WIDTH)
    left[..., : 4 * WIDTH] = 1.0
    seen = _changes(stacked(case, line_of(made, name, mask=left)))
    assert seen
    rows, columns = HEIGHT // 2, WIDTH // 2
    for change in seen:
        grid = change.view(change.shape[0], -1, rows, columns, change.shape[-1])
        assert not grid[..., columns // 2 + 1 :, :].any()
        assert grid[..., : columns // 2 - 1, :].any()


def _changes(case: Case) -> list[Tensor]:
    """What the patches of a stack change, at every place and step: (B, tokens, C)."""
    seen: list[Tensor] = []
    tokens = HEIGHT * WIDTH // 4 * (KINDS["wan uni3c"].frames if case.family == "Wan" else 1)

    def watched(function: Any, kind: str) -> Any:
        def block(args: dict[str, Any]) -> Any:
            name = "x" if kind == "mlp_patch" else "img"
            given, before = args[name], args[name].clone()
            out = function(args)
            changed = (out.get(name, given) - before).flatten(1, -2)[:, :tokens]
            if changed.any():
                seen.append(changed)
            return out

        def attention(q: Tensor, k: Tensor, v: Tensor, **kwargs: Any) -> Any:
            before = {"q": q.clone(), "k": k.clone(), "v": v.clone()}
            out = function(q, k, v, **kwargs)
            changes = (out[name] - value for name, value in before.items())
            seen.extend(change for change in changes if change.any())
            return out

        return attention if kind.startswith("attn") else block

    def apply_model(executor: Any, *args: Any, **kwargs: Any) -> Any:
        options = next(
            a for a in (*args, *kwargs.values()) if isinstance(a, dict) and "patches" in a
        )
        options["patches"] = {
            kind: [f if kind == "post_input" else watched(f, kind) for f in functions]
            for kind, functions in options["patches"].items()
        }
        return executor(*args, **kwargs)

    case.model.add_wrapper_with_key("apply_model", "watch", apply_model)
    assert case.result.isfinite().all()
    return seen


@pytest.mark.parametrize("name", MOST)
def test_weights_of_one_change_nothing(made: dict[str, Any], parity: Parity, name: str) -> None:
    """A mask of ones, and masks and blocks at 1, go through the mixing and give the same bits."""
    line = line_of(made, name, strength=0.8)
    case = case_of(made, name)
    for changes in (
        {"mask": torch.ones(1, 48, 80)},
        {"factors": (Curve(((0.0, 1.0), (1.0, 1.0))), Blocks((("first half", 1.0),)))},
    ):
        parity.same(case, core(case, line), stacked(case, replace(line, **changes)))


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_sides(made: dict[str, Any], name: str) -> None:
    """On the prompt's side alone: as the core's node on a model that samples that side alone."""
    case = case_of(made, name, steps=1)
    line = line_of(made, name)
    both, neither = core(case, line).result, case.result
    prompt = stacked(case, replace(line, factors=(Sides(1.0, 0.0),))).result
    other = stacked(case, replace(line, factors=(Sides(0.0, 1.0),))).result
    # One Euler step is linear in both sides' predictions.
    torch.testing.assert_close(prompt + other, both + neither, rtol=1e-4, atol=1e-4)
    assert not torch.equal(prompt, both)
    assert not torch.equal(prompt, other)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_blocks(made: dict[str, Any], name: str) -> None:
    case = case_of(made, name, steps=1)
    line = line_of(made, name)
    off = stacked(case, replace(line, factors=(Blocks((("all", 0.0),)),)))
    assert torch.equal(off.result, case.result)
    some = stacked(case, replace(line, factors=(Blocks((("input", 0.0),)),)))
    refined = name == "z-image 2.1"  # whose refiner adds before all others
    assert torch.equal(some.result, case.result) is not refined
    if refined:
        unrefined = stacked(case, replace(line, factors=(Blocks((("refiner", 0.0),)),)))
        assert not torch.equal(unrefined.result, core(case, line).result)
    with pytest.raises(UserError, match=r"control 1 .* has no block input 99; it has"):
        stacked(case, replace(line, factors=(Blocks((("input 99", 0.5),)),)))


@pytest.mark.parametrize("name", ["z-image 2.1", "qwen-image", "anima"])
def test_each_picture_has_its_own_hint_and_strength(made: dict[str, Any], name: str) -> None:
    """Which the core cannot: its nodes refuse two hints for two pictures under guidance."""
    two = picture(2, 2)
    case = case_of(made, name, batch=2)
    line = line_of(made, name, image=two)
    both = stacked(case, line).result
    for index in range(2):
        alone = stacked(case, replace(line, image=two[index : index + 1])).result
        torch.testing.assert_close(both[index], alone[index], rtol=1e-4, atol=1e-4)
    first = stacked(case, replace(line, factors=(FrameStrengths(((0.0, 1.0), (1.0, 0.0))),))).result
    torch.testing.assert_close(first[0], both[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(first[1], case.result[1], rtol=1e-4, atol=1e-4)
    masks = torch.stack([torch.zeros(48, 80), torch.ones(48, 80)])
    second = stacked(case, replace(line, mask=masks)).result
    torch.testing.assert_close(second[0], case.result[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(second[1], both[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["z-image 2.1", "qwen-image inpaint", "anima inpaint"])
@pytest.mark.parametrize("hints", [1, 2])
def test_one_of_a_kind_beside_two_of_another(made: dict[str, Any], name: str, hints: int) -> None:
    """One hint and two masks, or two and one; the picture to draw in is always one."""
    masks = (noise(3, 3 - hints, 40, 70) > 0).float()
    drawn_in = [("inpaint_image", picture(8))] if "inpaint_image" in KINDS[name].inputs else []
    case = case_of(made, name, batch=2, steps=2)

    def line(hint: Tensor, mask: Tensor) -> Line:
        return line_of(made, name, image=hint, given=(("mask", mask), *drawn_in))

    pictures = picture(2, hints)
    both = stacked(case, line(pictures, masks)).result
    for i in range(2):
        hint, mask = (all_of[min(i, len(all_of) - 1)][None] for all_of in (pictures, masks))
        alone = stacked(case, line(hint, mask))
        torch.testing.assert_close(both[i], alone.result[i], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sides", [Sides(1.0, 1.0), Sides(1.0, 0.0)], ids=["both", "the prompt"])
def test_pictures_of_a_film_model_have_their_strengths(made: dict[str, Any], sides: Sides) -> None:
    """Uni3C takes the latents of one conditioning for all, which must not mix up the pictures."""
    case = case_of(made, "wan uni3c", latent={"samples": torch.zeros(3, 16, 1, 6, 10)}, steps=2)
    line = line_of(made, "wan uni3c", image=picture(2), factors=(sides,))
    off = FrameStrengths(((0.0, 0.0), (1.0, 1.0)))
    last = stacked(case, replace(line, factors=(sides, off))).result
    torch.testing.assert_close(last[0], case.result[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(last[1:], stacked(case, line).result[1:], rtol=1e-4, atol=1e-4)


def test_frames_beside_the_latents_go_with_them(made: dict[str, Any], parity: Parity) -> None:
    """Phantom's subjects lie behind the film as further frames, which Uni3C acts on as well."""
    case = case_of(made, "wan uni3c", steps=2)
    subjects = {"time_dim_concat": noise(6, 1, 16, 1, HEIGHT, WIDTH)}
    texts = ([[text, subjects]] for ((text, _),) in (case.positive, case.negative))
    case = replace(case, positive=next(texts), negative=next(texts))
    line = line_of(made, "wan uni3c")
    parity.same(case, core(case, line), stacked(case, line))
    off = replace(line, factors=(Blocks((("all", 0.0),)),))
    parity.same(case, case, stacked(case, off), effect=False)


def test_frames_of_a_film_have_their_strengths(made: dict[str, Any]) -> None:
    case = case_of(made, "wan uni3c", steps=2)
    keys = FrameStrengths(((0.0, 0.0), (1.0, 1.0)), "stepped")
    seen = _changes(stacked(case, line_of(made, "wan uni3c", factors=(keys,))))
    assert seen
    for change in seen:
        frames = change.view(change.shape[0], 3, -1)
        assert not frames[:, 0].any()
        assert frames[:, 1].any()
        assert frames[:, 2].any()


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_the_report_measures_it(made: dict[str, Any], parity: Parity, name: str) -> None:
    """The picture stays the same in every bit, and a factor of a half halves what is measured."""
    case = case_of(made, name, steps=2)
    line = line_of(made, name)
    sizes = []
    for blocks in (1.0, 0.5):
        halved = replace(line, factors=(Blocks((("all", blocks),)),))
        (model,) = ControlStackApply().apply(case.model, halved.on(()), record=True)
        mine = replace(case, model=model)
        if blocks == 1.0:
            parity.same(case, core(case, line), mine)
        (recording,) = recordings(model)
        assert mine.again.isfinite().all()
        record = recording.last
        assert record is not None
        assert [place.name for place in record.places] == [p.name for p in _places(line)]
        assert record.relative
        assert record.maps.any()
        sizes.append(record.sizes(0)[0, 0])
    assert sizes[0] > 0.0
    assert sizes[1] == pytest.approx(sizes[0] / 2, rel=0.02)


def _places(line: Line) -> Sequence[Any]:
    return line.on(())[0].net.places()


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_two_that_are_alike_are_told_to_be(made: dict[str, Any], name: str) -> None:
    """Their cosine: the same patch twice adds nearly the same at the first block."""
    case = case_of(made, name, steps=1)
    line = line_of(made, name, factors=(Blocks((("all", 0.01),)),))
    (model,) = ControlStackApply().apply(case.model, line.on(line.on(())), record=True)
    assert replace(case, model=model).result.isfinite().all()
    record = recordings(model)[0].last
    assert record is not None
    assert record.cosine(0, 1)[0] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_nothing_is_left_after_an_error(made: dict[str, Any], parity: Parity, name: str) -> None:
    case = case_of(made, name)
    line = line_of(made, name)
    mine = stacked(case, line)
    before = mine.result

    def fail(executor: Any, *args: Any, **kwargs: Any) -> Any:
        executor(*args, **kwargs)
        raise RuntimeError("stopped")

    broken = replace(mine, model=mine.model.clone())
    broken.model.add_wrapper_with_key("apply_model", "fail", fail)
    with pytest.raises(RuntimeError, match="stopped"):
        _ = broken.result
    assert torch.equal(mine.again, before)
    options = mine.model.model_options["transformer_options"]
    assert not options.get("patches")
    assert not options.get("controlstack")
    parity.same(case, core(case, line), mine)


@pytest.mark.parametrize("name", ["z-image 2.1", "qwen-image", "anima"])
def test_parts_that_another_patch_cuts_are_refused(made: dict[str, Any], name: str) -> None:
    """The hint would be squeezed into each of them."""

    def halves(apply: Any, given: dict[str, Any]) -> Tensor:
        parts = given["input"].split(WIDTH // 2, -1)
        return torch.cat([apply(part, given["timestep"], **given["c"]) for part in parts], -1)

    case = stacked(case_of(made, name), line_of(made, name))
    model = case.model.clone()
    model.set_model_unet_function_wrapper(halves)
    with pytest.raises(UserError, match=r"control 1 .* nobody says where they lie"):
        _ = replace(case, model=model).result


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_twenty_runs_keep_nothing(made: dict[str, Any], name: str) -> None:
    import gc

    def tensors() -> int:
        gc.collect()
        return sum(isinstance(one, Tensor) for one in gc.get_objects())

    mine = stacked(case_of(made, name, steps=1), line_of(made, name))
    assert mine.again.isfinite().all()
    before = tensors()
    for _ in range(20):
        assert mine.again.isfinite().all()
    assert tensors() <= before + 2


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_model_of_another_family_is_named(made: dict[str, Any], name: str) -> None:
    other = "z-image 2.1" if name == "qwen-image" else "qwen-image"
    case = case_of(made, other)
    family = KINDS[name].family
    with pytest.raises(UserError, match=f"acts on {family} models, and the model is .*Use a model"):
        stacked(case, line_of(made, name))


def test_a_model_of_another_size_is_named(made: dict[str, Any]) -> None:
    from tests.comfyui.patch_kinds import z_image_patch

    line = replace(line_of(made, "z-image union"), patch=z_image_patch(2, dim=128))
    with pytest.raises(UserError, match=r"another size .* is 128 in the net and 256 in the model"):
        stacked(case_of(made, "z-image union"), line)


@pytest.mark.parametrize("name", [name for name in NAMES if KINDS[name].vae is not None])
def test_without_a_vae(made: dict[str, Any], name: str) -> None:
    line = line_of(made, name)
    with pytest.raises(UserError, match="needs a VAE to encode its hint"):
        stacked(case_of(made, name), replace(line, kind=replace(line.kind, vae=None)))


def test_the_vae_of_another_model(made: dict[str, Any]) -> None:
    line = line_of(made, "z-image union")
    case = stacked(case_of(made, "z-image union"), replace(line, kind=KINDS["wan uni3c"]))
    with pytest.raises(UserError, match=r"control 1 .* look first at the vae of Add ControlNet"):
        _ = case.result


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inpaint_mask": torch.ones(1, 8, 8)}, "takes no inpaint_mask"),
        ({"inpaint_image": picture(1)}, "takes no inpaint_image"),
        ({"union_type": "depth"}, "choose the union_type auto, not depth"),
    ],
)
def test_what_it_does_not_take(made: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    line = line_of(made, "qwen-image")
    assert line.kind.vae is not None
    (stack,) = ControlStackAdd().add(
        line.patch, line.image, 1.0, 0.0, 1.0, vae=line.kind.vae(), **changes
    )
    with pytest.raises(UserError, match=words):
        ControlStackApply().apply(case_of(made, "qwen-image").model, stack)


def test_a_film_is_not_cropped(made: dict[str, Any]) -> None:
    line = line_of(made, "wan uni3c")
    (stack,) = ControlStackAdd().add(
        line.patch, line.image, 1.0, 0.0, 1.0, vae=FilmVae(), area_hint="crop"
    )
    with pytest.raises(UserError, match="choose the area_hint whole, not crop"):
        ControlStackApply().apply(case_of(made, "wan uni3c").model, stack)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_it_cannot_lie_on_a_prompt(made: dict[str, Any], name: str) -> None:
    case = case_of(made, name)
    with pytest.raises(UserError, match=r"cannot lie on a prompt\. Use Apply ControlNet Stack"):
        ControlStackApplyConditioning().apply(
            case.positive, case.negative, line_of(made, name).on(())
        )


def test_a_patch_that_is_no_control(comfy: ModuleType) -> None:
    from tests.comfyui.patch_kinds import _patch

    class DurationHead(torch.nn.Linear):
        pass

    class Unknown(torch.nn.Linear):
        pass

    for kind, words in (
        (DurationHead, r"control 1 \(.*\): .* duration head, .* takes it"),
        (Unknown, r"control 1 \(.*\): .*Unknown"),
    ):
        with pytest.raises(UserError, match=words):
            ControlStackAdd().add(_patch(kind(2, 2), 1), picture(1), 1.0, 0.0, 1.0)
