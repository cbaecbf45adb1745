"""What model patches add to which row, token and block, by number."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.model_patch.blocks import Blocks
from controlstack.model_patch.curve import Curve
from controlstack.model_patch.factors import Sides, Span, StepSpan
from controlstack.model_patch.frames import FrameStrengths
from controlstack.model_patch.patch_net import Given
from controlstack.model_patch.recorder import Recorder
from controlstack.model_patch.schedule import Window
from controlstack.model_patch.usable import require_usable
from tests.model_patch import recording
from tests.model_patch.patched import SIZE, added, numbered, numbers_of, running

BOTH = [0, 1]


def test_strength_at_the_blocks_that_it_has() -> None:
    made = added((numbered(0.5, strength=0.5),), 2, cond_or_uncond=BOTH)
    assert {name: numbers_of(value) for name, value in made.items()} == {
        "refiner 0": [0.25, 0.25],
        "input 0": [0.25, 0.25],
        "input 1": [0.0, 0.0],
        "input 2": [0.25, 0.25],
        "q": [0.0, 0.0],
    }


def test_where_every_factor_is_one_the_hosts_patch_gets_what_the_host_gave() -> None:
    """No copy: the same tensors, in place."""
    heard: list[Any] = []
    curve = Curve(((0.0, 1.0), (1.0, 1.0)))
    added((numbered(1.0, heard=heard, also=(curve, Sides(1.0, 1.0))),), 2, cond_or_uncond=BOTH)
    given, *calls = heard
    assert isinstance(given, Given)
    assert len(given.pictures) == 1
    assert all(len(args["img"]) == 2 and len(args["vec"]) == 2 for args in calls)


def test_controls_add_up_in_their_order_after_what_is_there() -> None:
    order: list[str] = []

    def before(args: dict[str, Any]) -> dict[str, Any]:
        order.append("theirs")
        assert (args["img"] == 1.0).all()
        return args

    stack = (numbered(1.0), numbered(0.25, strength=2.0))
    made = added(stack, 1, patches={"double_block": [before]})
    assert numbers_of(made["input 0"]) == [1.5]
    assert order == ["theirs"] * 3


def test_beside_a_control_that_is_a_net() -> None:
    options: dict[str, Any] = {"cond_or_uncond": [0]}
    with running((recording.numbered(0.5), numbered(0.25))) as call:
        assert numbers_of(call(1, **options)["input 0"]) == [0.25]


def test_sides_run_on_the_rows_of_that_side_alone() -> None:
    heard: list[Any] = []
    made = added((numbered(0.5, heard=heard, also=(Sides(1.0, 0.0),)),), 4, cond_or_uncond=BOTH)
    assert numbers_of(made["input 0"]) == [0.5, 0.5, 0.0, 0.0]
    _, *calls = heard
    assert all(args["transformer_options"]["cond_or_uncond"] == [0] for args in calls)
    assert all(args["vec"].tolist() == [0, 1] for args in calls)
    assert all(len(args["x"]) == 2 for args in calls)
    made = added((numbered(0.5, also=(Sides(0.5, 2.0),)),), 4, cond_or_uncond=BOTH)
    assert numbers_of(made["input 0"]) == [0.25, 0.25, 1.0, 1.0]


@pytest.mark.parametrize("sides", [[0], [1, 0]])
def test_each_picture_takes_its_hint(sides: list[int]) -> None:
    made = added((numbered(0.25, 0.5),), 3 * len(sides), cond_or_uncond=sides)
    assert numbers_of(made["input 0"]) == [0.25, 0.5, 0.25] * len(sides)
    held = added((numbered(0.25, 0.5, frames="hold"),), 3, cond_or_uncond=[0])
    assert numbers_of(held["input 0"]) == [0.25, 0.5, 0.5]


def test_in_a_window_picture_k_takes_hint_k() -> None:
    window = SimpleNamespace(index_list=[2, 1], dim=0)
    made = added((numbered(0.25, 0.5, 0.75),), 4, context_window=window, cond_or_uncond=BOTH)
    assert numbers_of(made["input 0"]) == [0.75, 0.5, 0.75, 0.5]


def test_pictures_have_their_strengths() -> None:
    keys = FrameStrengths(((0.0, 1.0), (1.0, 0.0), (2.0, 0.5)))
    heard: list[Any] = []
    made = added((numbered(0.5, heard=heard, also=(keys,)),), 6, cond_or_uncond=BOTH)
    assert numbers_of(made["input 0"]) == [0.5, 0.0, 0.25] * 2
    assert all(len(args["img"]) == 4 for args in heard[1:])
    told = [args["transformer_options"]["cond_or_uncond"] for args in heard[1:]]
    assert told == [[0]] * len(told)  # one conditioning: the rows of several would be the same


def test_a_call_of_another_size_has_its_own_patches() -> None:
    heard: list[Any] = []
    with running((numbered(0.5, heard=heard),)) as call:
        for size in (SIZE, 2 * SIZE, SIZE):
            call(1, latent=torch.zeros(1, 4, SIZE, size), called=size == SIZE)
    assert [one.latent for one in heard if isinstance(one, Given)] == [
        (1, SIZE, SIZE),
        (1, SIZE, 2 * SIZE),
    ]


def test_a_mask_lies_on_the_tokens() -> None:
    left = torch.zeros(1, 64, 64)
    left[..., :32] = 1.0
    for offset in (0, 3):
        made = added((numbered(0.5, mask=left),), 1, offset=offset)
        grid = made["input 0"].view(SIZE // 2, SIZE // 2)
        assert (grid[:, : SIZE // 4] == 0.5).all()
        assert not grid[:, SIZE // 4 :].any()


def test_blocks_by_name() -> None:
    half = Blocks((("all", 0.5), ("refiner", 0.0), ("input 2", 2.0)))
    made = added((numbered(0.5, also=(half,)),), 1)
    blocks = ("refiner 0", "input 0", "input 2")
    assert [numbers_of(made[name]) for name in blocks] == [[0.0], [0.25], [1.0]]
    with pytest.raises(UserError, match="has no block input 1; it has refiner, input 0, input 2"):
        require_usable(numbered(0.5, also=(Blocks((("input 1", 0.5),)),)))


def test_in_its_range_alone() -> None:
    with running((numbered(0.5, span=Span(0.0, 0.4)),)) as call:
        assert numbers_of(call(1, sigma=7.0)["input 0"]) == [0.5]
        assert numbers_of(call(1, sigma=5.0)["input 0"]) == [0.0]
    steps = (numbered(0.5, span=StepSpan(1, 2)),)
    with running(steps) as call:
        levels = torch.tensor([10.0, 6.0, 3.0, 0.0])
        acts = [call(1, sigma=s, sample_sigmas=levels)["input 0"].any() for s in (10.0, 6.0, 3.0)]
        assert acts == [False, True, False]


def test_attention_is_mixed_at_its_queries() -> None:
    mask = torch.zeros(2, 64, 64)
    mask[1] = 1.0
    stack = (numbered(0.5, kinds=("attn1_patch",), mask=mask, also=(Sides(0.5, 0.0),)),)
    assert numbers_of(added(stack, 4, cond_or_uncond=BOTH)["q"]) == [0.0, 0.25, 0.0, 0.0]


def film(frames: int) -> Tensor:
    return torch.zeros(1, 4, frames, SIZE, SIZE)


def test_a_film_of_hints_goes_as_it_comes() -> None:
    heard: list[Any] = []
    control = numbered(*(0.1 * i for i in range(9)), heard=heard, net={"film": True})
    with running((control,)) as call:
        call(1, latent=film(3))
    assert [round(float(p.mean()), 3) for p in heard[0].pictures] == [
        *(round(0.1 * i, 3) for i in range(9))
    ]
    assert heard[0].latent == (3, SIZE, SIZE)


@pytest.mark.parametrize(
    ("indices", "frames"),
    [
        ((2, 3), [8, 9, 10, 11, 12]),
        ((0, 1), list(range(13))),  # which the host cuts to what it needs
        ((3, 0), [12, 0, 0, 0, 0]),
        ((3, 4), [12, 12, 12, 12, 12]),  # of 13 frames the last one stays
    ],
)
def test_a_window_of_a_film_takes_its_frames(indices: tuple[int, ...], frames: list[int]) -> None:
    heard: list[Any] = []
    control = numbered(*(i / 16 for i in range(13)), heard=heard, net={"film": True})
    window = SimpleNamespace(index_list=list(indices), dim=2)
    with running((control,)) as call:
        call(1, latent=film(2), context_window=window)
    assert [round(float(p.mean()) * 16) for p in heard[0].pictures] == frames


def test_what_is_to_be_drawn_anew_goes_with_the_pictures() -> None:
    heard: list[Any] = []
    mask = torch.stack([torch.zeros(8, 8), torch.ones(8, 8)])
    inpaint = {"mask": True, "picture": True}
    control = numbered(
        0.5, heard=heard, net=inpaint, inpaint_mask=mask, inpaint_image=torch.rand(1, 3, 8, 8)
    )
    added((control,), 4, cond_or_uncond=BOTH)
    given = heard[0]
    assert [float(one.mean()) for one in given.inpaint_mask] == [0.0, 1.0, 0.0, 1.0]
    assert len(given.pictures) == len(given.inpaint_image) == 4  # the host lays them together


def test_a_kind_of_patch_that_nobody_knows() -> None:
    with pytest.raises(UserError, match=r"control: AddNumbers .* patches new_kind, which"):
        added((numbered(0.5, kinds=("new_kind",)),), 1)


def test_one_that_the_model_never_comes_to_is_refused_or_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(UserError, match="control: the model never came to the blocks"):
        added((numbered(0.5),), 1, called=False)


def test_an_error_inside_names_the_control() -> None:
    def fails(args: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("mat1 and mat2 do not fit")

    control = numbered(0.5, name="control 2")
    net: Any = control.net
    made = net.make

    def make(base: Any, given: Given) -> Any:
        patches = made(base, given)
        patches.functions["double_block"][0] = fails
        return patches

    object.__setattr__(net, "make", make)
    with pytest.raises(UserError, match=r"control 2: the net failed on a latent .*mat1 and mat2"):
        added((control,), 1)


def test_what_it_changes_is_measured() -> None:
    levels = (10.0, 0.0)
    recorder = Recorder(levels, Window())
    left = torch.zeros(1, 64, 64)
    left[..., :32] = 1.0
    stack = (numbered(0.5), numbered(-0.5, mask=left), numbered(0.25, also=(Sides(1.0, 0.0),)))
    with running(stack, recorder) as call:
        made = call(2, sigma=10.0, cond_or_uncond=BOTH)
    record = recorder.record(stack, recording.BASE.model_sampling, None)

    tokens = SIZE * SIZE // 4
    assert [place.name for place in record.places] == ["refiner", "input 0", "input 2"]
    assert record.added[0, 1, 0].tolist() == [tokens * 0.25] * 2
    assert record.added[1, 1, 0].tolist() == [tokens / 2 * 0.25] * 2
    assert record.added[2, 1, 0].tolist() == [tokens * 0.0625, 0.0]
    assert record.ran[:, 0].tolist() == [[1, 1], [1, 1], [1, 0]], "once a call, not once a block"
    assert record.sizes(0)[1, 0] == pytest.approx(
        (2 * tokens * 0.25 / (2 * tokens * 2.25)) ** 0.5, 0.3
    )
    assert record.cosine(0, 1)[0] == pytest.approx(-(0.5**0.5))
    assert record.cosine(0, 2)[0] == pytest.approx(0.5**0.5)
    halves = record.maps[1, 0, :, : SIZE // 2].sum(), record.maps[1, 0].sum()
    assert halves[0] == pytest.approx(halves[1], rel=0.2)
    assert numbers_of(made["refiner 0"][:, :1]) == [0.25, 0.0]


def test_beside_a_net_the_cosine_is_between_both() -> None:
    recorder = Recorder((10.0, 0.0), Window())
    net = recording.Numbers(tokens=SIZE * SIZE // 4)
    given = net.get_control
    net.copy = lambda: net  # type: ignore[method-assign]
    net.get_control = (
        lambda *a: {  # type: ignore[method-assign]
            "input": [r[..., :1] for r in given(*a)["output"]],
            "middle": [],
            "output": [],
        }
    )
    stack = (recording.numbered(0.5, net=net), numbered(-0.5))
    with running(stack, recorder) as call:
        call(1, sigma=10.0, cond_or_uncond=[0])
    record = recorder.record(stack, recording.BASE.model_sampling, None)
    assert record.dots[0, 1, 0] == pytest.approx(-0.25 * SIZE * SIZE // 4)
