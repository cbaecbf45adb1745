"""Advanced-ControlNet's nodes by our own factors, on the embedded host.

`tests/comfyui/test_advanced_controlnet_nodes.py` has that pack's own beside each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from controlstack.conversion.known import FIELDS
from controlstack.ground.errors import UserError
from controlstack.headless.core_nodes import CORE_NODES
from controlstack.headless.graph.registry import read_spec
from controlstack.headless.pack_nodes import PACK_NODES
from controlstack.headless.pack_nodes.acn_apply import KeyframedNet
from controlstack.headless.pack_nodes.acn_factors import (
    BlockWeights,
    ScaledSoft,
    frame_strengths,
    held_in,
)
from controlstack.headless.pack_nodes.acn_keyframes import Keyframe, Keyframes
from controlstack.headless.pack_nodes.acn_weights import SOFT
from controlstack.model_patch.blocks import SoftWeights
from controlstack.model_patch.call import Row
from controlstack.model_patch.residuals import Place
from tests.model_patch.stacks import hint, net
from tests.tiny import tiny_conditioning, tiny_model

RANGE = {"strength": 0.9, "start_percent": 0.0, "end_percent": 1.0}
BOTH = "ACN_AdvancedControlNetApply_v2"


def run(node: str, slot: int = 0, **inputs: Any) -> Any:
    """An output of one call."""
    return PACK_NODES[node]().run(**inputs)[slot]


def sampled(positive: Any, negative: Any, batch: int = 1) -> Tensor:
    """Six steps of Euler by the embedded host's KSampler."""
    given = {"seed": 3, "steps": 6, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal"}
    latent = {"samples": torch.zeros(batch, 4, 8, 8)}
    made = CORE_NODES["KSampler"]().run(
        model=tiny_model(),
        positive=positive,
        negative=negative,
        latent_image=latent,
        denoise=1.0,
        **given,
    )
    result: Tensor = made[0]["samples"]
    return result


def prompts() -> dict[str, Any]:
    return {"positive": tiny_conditioning(3), "negative": tiny_conditioning(4)}


def applied(node: Any = BOTH, loaded: Any = None, batch: int = 1, **more: Any) -> Tensor:
    """A latent under one net, by an apply node."""
    cls = PACK_NODES.get(node) or CORE_NODES[node]
    given = {"control_net": loaded or net(1), "image": hint(1).movedim(1, -1), **RANGE, **more}
    positive, negative = cls().run(**prompts(), **given)[:2]
    return sampled(positive, negative, batch)


def place(group: str, depth: int, residuals: int = 13) -> Place:
    shape = torch.Size((1, 4, 8, 8))
    return Place(group, depth, 12, shape, depth, residuals, 8)


def test_plain_is_the_core_s_own_to_the_bit() -> None:
    assert torch.equal(applied(), applied("ControlNetApplyAdvanced"))
    assert torch.equal(
        applied(strength=0.5, start_percent=0.2, end_percent=0.7),
        applied("ControlNetApplyAdvanced", strength=0.5, start_percent=0.2, end_percent=0.7),
    )
    assert torch.equal(applied(strength=0.0), sampled(*prompts().values()))


@pytest.mark.parametrize(("start", "end"), [(-0.5, 0.4), (0.4, 1.5), (0.7, 0.3)])
def test_a_range_of_any_ends_is_the_core_s_with_and_without_keyframes(
    start: float, end: float
) -> None:
    """Such as come through a link; a start behind the end covers nothing."""
    ends = {"start_percent": start, "end_percent": end}
    one = Keyframes()
    assert torch.equal(applied(**ends, timestep_kf=one), applied("ControlNetApplyAdvanced", **ends))
    nothing = torch.equal(applied(**ends), sampled(*prompts().values()))
    assert nothing == (start > end)


def test_keyframes_of_any_start_are_in_order() -> None:
    """Before the run is its begin; one behind its end never holds; lists may run backwards."""
    made = run(
        "ACN_TimestepKeyframeFromStrengthList",
        float_strengths=[0.2, 0.7],
        **{"start_percent": 1.2, "end_percent": -0.2},
    )
    assert [one.start for one in made.each] == pytest.approx([-0.2, 0.0, 1.2])
    early = Keyframes((Keyframe(-0.2, 0.7), Keyframe(1.2, 0.1)))
    plain = applied(timestep_kf=Keyframes((Keyframe(0.0, 0.7),)))
    assert torch.equal(applied(timestep_kf=early), plain)


def test_one_prompt_is_the_core_s_old_node() -> None:
    given = {"control_net": net(1), "image": hint(1).movedim(1, -1)}
    one = tiny_conditioning(3)
    ours = run("ACN_AdvancedControlNetApplySingle_v2", conditioning=one, **given, **RANGE)
    theirs = CORE_NODES["ControlNetApply"]().run(conditioning=one, strength=0.9, **given)[0]
    negative = tiny_conditioning(4)
    assert torch.equal(sampled(ours, negative), sampled(theirs, negative))
    assert run("ACN_AdvancedControlNetApplySingle", 1, conditioning=one, **given, **RANGE) is None


def test_a_shortcut_of_weights_is_those_weights() -> None:
    weights = run("ACN_ScaledSoftControlNetWeights", base_multiplier=0.825)
    shortcut = run("ACN_ScaledSoftControlNetWeights", 1, base_multiplier=0.825)
    other = applied(weights_override=weights)
    assert torch.equal(other, applied(timestep_kf=shortcut))
    assert not torch.allclose(other, applied())


@pytest.mark.parametrize("residuals", [13, 10])
def test_soft_weights_are_ours_at_0_825(residuals: int) -> None:
    for depth in range(residuals):
        at = place("middle" if depth == residuals - 1 else "output", depth, residuals)
        assert ScaledSoft(0.825).of_block(at) == pytest.approx(SoftWeights().of_block(at))
    assert ScaledSoft(0.5, 3.0).of_block(place("middle", 12)) == 3.0
    adapters = [ScaledSoft(0.5).of_block(place("input", depth, 4)) for depth in range(4)]
    assert adapters == [0.5**7, 0.25, 0.5, 1.0]


def test_listed_weights_are_by_place_and_end_at_1() -> None:
    weights, _ = PACK_NODES["ACN_SoftControlNetWeightsSD15"]().run(
        **{f"output_{i}": SOFT[i] for i in range(12)}, middle_0=1.0, uncond_multiplier=0.5
    )
    blocks, sides = weights.factors
    assert [blocks.of_block(place("output", i)) for i in range(12)] == list(SOFT[:12])
    assert blocks.of_block(place("output", 12, 20)) == 1.0
    assert (sides.cond, sides.uncond) == (1.0, 0.5)
    (adapter,) = run("CustomT2IAdapterWeights", **_four(), flip_weights=True).factors
    assert [adapter.of_block(place("input", i, 4)) for i in range(4)] == list(_four().values())
    with pytest.raises(UserError, match="its weights are for T2I adapters, and this net is none"):
        adapter.require_blocks([place("output", 0), place("middle", 12)])
    with pytest.raises(UserError, match="its weights are for ControlNets"):
        BlockWeights("output", (1.0,)).require_blocks([place("input", 0, 4)])


def _four() -> dict[str, float]:
    return {f"weight_{i:02}": 0.1 * (i + 1) for i in range(4)}


STEPS = [10.0, 8.0, 6.0, 4.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("starts", "guaranteed", "held"),
    [
        ([99.0], [1], [0, 0, 0, 0, 0, 0]),
        ([99.0, 6.0], [0, 0], [0, 0, 1, 1, 1, 1]),
        ([99.0, 5.0], [0, 0], [0, 0, 0, 1, 1, 1]),
        # Both begin before the step: the first is passed over, unless it has a step for sure.
        ([99.0, 5.5, 5.0], [0, 0, 0], [0, 0, 0, 2, 2, 2]),
        ([99.0, 5.5, 5.0], [0, 1, 1], [0, 0, 0, 1, 2, 2]),
        ([99.0, 8.0, 5.0], [0, 4, 1], [0, 1, 1, 1, 1, 2]),
        # One that began before the run has none for sure.
        ([99.0, 50.0, 20.0], [3, 3, 3], [2, 2, 2, 2, 2, 2]),
    ],
)
def test_which_keyframe_holds(starts: list[float], guaranteed: list[int], held: list[int]) -> None:
    assert held_in(STEPS, starts, guaranteed) == held


def test_keyframes_carry_what_later_ones_lack() -> None:
    mask = torch.ones(1, 4, 4)
    soft = run("ACN_ScaledSoftControlNetWeights", base_multiplier=0.5)
    frames = Keyframes()
    for given in (
        {"start_percent": 0.5},
        {"start_percent": 0.2, "cn_weights": soft, "mask_optional": mask},
        {"start_percent": 0.8, "inherit_missing": False},
    ):
        frames = run("TimestepKeyframe", prev_timestep_kf=frames, **given)
    each = frames.carried()
    assert [one.start for one in each] == [0.0, 0.2, 0.5, 0.8]
    assert [one.weights for one in each] == [None, soft, soft, None]
    assert [one.mask is None for one in each] == [True, False, False, False]  # as there
    other = frames.plus(Keyframe(0.9, mask=mask.clone()))
    with pytest.raises(UserError, match="several masks"):
        other.carried()


def test_strengths_of_keyframes_are_over_the_run() -> None:
    first = run("TimestepKeyframe", start_percent=0.0, strength=0.0)
    late = run("TimestepKeyframe", prev_timestep_kf=first, start_percent=0.5)
    by_keyframes = applied(timestep_kf=late)
    by_range = applied(start_percent=0.5)
    torch.testing.assert_close(by_keyframes, by_range, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(by_keyframes, applied())
    half = run("TimestepKeyframe", start_percent=0.0, strength=0.5)
    torch.testing.assert_close(applied(timestep_kf=half), applied(strength=0.45))


def test_weights_that_change_are_controls_in_turn() -> None:
    """Of equal weights in two sets the sum is one control's."""
    soft = [run("ACN_ScaledSoftControlNetWeights", base_multiplier=0.6) for _ in range(2)]
    frames = None
    for start, weights in zip((0.0, 0.4), soft, strict=True):
        frames = run(
            "TimestepKeyframe", prev_timestep_kf=frames, start_percent=start, cn_weights=weights
        )
    both, one = applied(timestep_kf=frames), applied(weights_override=soft[0])
    torch.testing.assert_close(both, one, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(both, applied())


def test_pictures_have_strengths_of_their_own() -> None:
    latents = run("LatentKeyframe", batch_index=1, strength=0.0)
    latents = run("LatentKeyframe", prev_latent_kf=latents, batch_index=0, strength=1.0)
    made = applied(latent_kf_override=latents, batch=2)
    # Nets that see fewer rows add in another order.
    near = {"rtol": 1e-3, "atol": 1e-3}
    torch.testing.assert_close(made[:1], applied(batch=2)[:1], **near)
    torch.testing.assert_close(made[1:], sampled(*prompts().values(), 2)[1:], **near)
    assert (made[1:] - applied(batch=2)[1:]).abs().max() > 0.1
    factor = frame_strengths({1: 0.3, 2: 0.5, 6: 0.9}, 0.1)
    numbers = [factor.of_row(Row(picture)) for picture in range(9)]
    assert numbers == [0.1, 0.3, 0.5, 0.1, 0.1, 0.1, 0.9, 0.1, 0.1]
    with pytest.raises(UserError, match="batch_index -2 counts from the end"):
        frame_strengths({-2: 1.0}, 0.0)


def test_texts_of_latent_keyframes() -> None:
    group = PACK_NODES["LatentKeyframeGroup"]
    read = lambda text, **more: group().run(index_strengths=text, **more)[0]  # noqa: E731
    assert read("") == {}
    assert read("0, 2:4=0.5 ,7 = 1.5") == {0: 1.0, 2: 0.5, 3: 0.5, 7: 1.5}
    assert read("1=0.2", prev_latent_kf={1: 0.7}) == {1: 0.7}
    batch = {"samples": torch.zeros(5, 4, 2, 2)}
    assert read("-1, 1:-2", latent_optional=batch) == {4: 1.0, 1: 1.0, 2: 1.0}
    for wrong in ("x", "1=-1", "1:", "-1", "1=nan"):
        with pytest.raises(UserError, match="index_strengths"):
            read(wrong)
    with pytest.raises(UserError, match="names picture 5; there are 5"):
        read("5", latent_optional=batch)


@pytest.mark.parametrize("easing", ["linear", "ease-in", "ease-out", "ease-in-out"])
def test_latent_keyframes_on_the_way(easing: str) -> None:
    given = {"strength_from": 0.0, "strength_to": 1.0, "interpolation": easing}
    made = run("LatentKeyframeTiming", batch_index_from=2, batch_index_to_excl=7, **given)
    assert list(made) == [2, 3, 4, 5, 6]
    middle = {"linear": 0.5, "ease-in": 0.25, "ease-out": 0.75, "ease-in-out": 0.5}[easing]
    assert [made[2], made[4], made[6]] == pytest.approx([0.0, middle, 1.0])
    with pytest.raises(UserError, match="must not be behind"):
        run("LatentKeyframeTiming", batch_index_from=3, batch_index_to_excl=2, **given)


def test_keyframes_of_a_loader_act_with_every_apply_node() -> None:
    frames = run("TimestepKeyframe", start_percent=0.0, strength=0.5)
    loaded = KeyframedNet(net(1), frames)
    expected = applied(timestep_kf=frames)
    for node in (BOTH, "ControlNetApplyAdvanced"):
        assert torch.equal(applied(node, loaded), expected)
    given = {"control_net": loaded, "image": hint(1).movedim(1, -1), "strength": 0.9}
    one = CORE_NODES["ControlNetApply"]().run(conditioning=tiny_conditioning(3), **given)[0]
    assert torch.equal(sampled(one, tiny_conditioning(4)), expected)
    override = run("TimestepKeyframe", start_percent=0.0, strength=1.0)
    assert torch.equal(applied(BOTH, loaded, timestep_kf=override), applied(timestep_kf=override))
    with pytest.raises(UserError, match="keyframes of its loader"):
        getattr(loaded, "get_model_object", None)


def test_a_mask_is_where_it_acts() -> None:
    mask = torch.zeros(64, 64)
    mask[:, :32] = 1
    whole, part, none = applied(), applied(mask_optional=mask), applied(strength=0.0)
    assert not torch.allclose(part, whole)
    assert not torch.allclose(part, none)
    torch.testing.assert_close(applied(mask_optional=torch.ones(1, 8, 8)), whole)


def test_several_hints_at_once_are_refused() -> None:
    one = run("ACN_ControlNet++InputNode", image=hint(1).movedim(1, -1), control_type="depth")
    two = run(
        "ACN_ControlNet++InputNode",
        image=hint(2).movedim(1, -1),
        control_type="tile",
        prev_plus_input=one,
    )
    with pytest.raises(UserError, match=r"2 hints at once \(depth, tile\) have no equal here"):
        run("ACN_ControlNet++LoaderAdvanced", plus_input=two, name="x")


def test_pictures_of_a_folder(place: Path) -> None:
    folder = place / "input" / "walk"
    folder.mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (8, 6), (number * 40, 0, 0)).save(folder / f"{number}.png")
    node = PACK_NODES["LoadImagesFromDirectory"]
    images, masks, count = node().run(directory="walk", image_load_cap=2, start_index=1)
    assert (images[..., 0] * 255).round().unique().tolist() == [40, 80]
    assert masks.shape == (2, 64, 64)
    assert count == 2
    Image.new("RGB", (9, 6)).save(folder / "4.png")
    for directory, words in (
        ("walk", r"4\.png is 9 x 6 and 0\.png 8 x 6"),
        ("gone", "there is no folder 'gone'"),
        ("../x", "leaves its folder"),
        ("/etc", "leaves its folder"),
    ):
        with pytest.raises(UserError, match=words):
            node().run(directory=directory)


@pytest.mark.parametrize("node", [one for one in FIELDS if one in PACK_NODES])
def test_conversion_knows_the_same_fields(node: str) -> None:
    spec = read_spec(node, PACK_NODES[node])
    assert {field.name: field.default for field in spec.widgets} == dict(FIELDS[node])
    assert [field.name for field in spec.widgets] == list(FIELDS[node])
