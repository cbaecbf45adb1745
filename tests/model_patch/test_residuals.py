"""Residual arithmetic: sums, masks, sides, weights, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.model_patch.blocks import Resolution
from controlstack.model_patch.call import Call
from controlstack.model_patch.factors import Factor, Sides, weighed
from controlstack.model_patch.mask import Mask
from controlstack.model_patch.residuals import Residuals, check_fit


def residuals(*heights: int, batch: int = 2, seed: int = 0) -> Residuals:
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(batch, 4, h, h, generator=generator) for h in heights]
    return Residuals(middle=(tensors[-1],), output=tuple(tensors[:-1]))


def call(batch: int, *sides: int) -> Call:
    options = {"cond_or_uncond": list(sides)} if sides else {}
    return Call.of(torch.zeros(batch, 4, 8, 8), torch.ones(batch), {}, options)


def by(factor: Factor, residuals: Residuals, *sides: int) -> Residuals:
    """What a factor makes of residuals with as many rows as the batch."""
    (first,) = [r for r in (*residuals.middle, *residuals.output) if r is not None][:1]
    return weighed(residuals, call(len(first), *sides), [factor])


def test_the_dict_round_trip_makes_fresh_lists() -> None:
    first = residuals(8, 4, 2)
    popped = first.as_dict()
    popped["output"].pop()
    assert [len(first.as_dict()[side]) for side in ("input", "middle", "output")] == [0, 1, 2]


def test_a_sum_writes_into_neither_side() -> None:
    one, two = residuals(8, 4, seed=1), residuals(8, 4, seed=2)
    before = [t.clone() for t in (*one.output, *two.output) if t is not None]
    total = one + two
    assert torch.equal(total.output[0], before[0] + before[1])
    assert torch.equal(one.output[0], before[0])
    assert torch.equal(two.output[0], before[1])


def test_a_sum_keeps_what_only_one_side_has() -> None:
    adapter = Residuals(input=(None, torch.ones(1, 4, 4, 4)))
    net = residuals(8, 4, 2)
    total = adapter + net
    assert total.input == adapter.input
    assert total.output == net.output
    longer = Residuals(output=(None, None, torch.ones(1, 4, 2, 2)))
    assert (longer + net).output == (*net.output, longer.output[2])
    assert (net + longer).output == (*net.output, longer.output[2])


def test_a_batch_of_one_serves_all_rows() -> None:
    one = Residuals(output=(torch.ones(1, 4, 4, 4),))
    four = Residuals(output=(torch.ones(4, 4, 4, 4),))
    assert torch.equal((one + four).output[0], torch.full((4, 4, 4, 4), 2.0))


def test_shapes_that_differ_are_named() -> None:
    with pytest.raises(UserError, match=r"output 1.*\(2, 4, 4, 4\).*\(2, 4, 5, 5\)"):
        residuals(8, 4, 2) + residuals(8, 5, 2)


def test_check_fit_compares_channels_and_batch() -> None:
    check_fit("middle 0", torch.zeros(1, 4, 2, 2), torch.zeros(6, 4, 2, 2))
    for shape in [(2, 4, 2, 2), (6, 5, 2, 2), (6, 4, 2)]:
        with pytest.raises(UserError, match="middle 0"):
            check_fit("middle 0", torch.zeros(shape), torch.zeros(6, 4, 2, 2))


def test_masks_act_where_they_are_white_at_every_resolution() -> None:
    mask = torch.zeros(1, 32, 32)
    mask[:, :, 16:] = 1
    masked = by(Mask(mask), residuals(8, 4))
    for before, after in zip(residuals(8, 4).output, masked.output, strict=True):
        assert before is not None
        assert after is not None
        half = before.shape[-1] // 2
        assert not after[..., :half].any()
        assert torch.equal(after[..., half:], before[..., half:])


def test_a_batch_of_masks_goes_row_by_row_and_repeats() -> None:
    mask = torch.stack([torch.zeros(8, 8), torch.ones(8, 8)])
    out = by(Mask(mask), residuals(4, 2, batch=4)).output[0]
    assert out is not None
    assert [bool(row.any()) for row in out] == [False, True, False, True]


def test_every_chunk_of_the_batch_begins_with_the_first_mask() -> None:
    """Three pictures, prompt and negative in one batch, two masks: picture 2 has mask 0 in both."""
    mask = torch.stack([torch.zeros(8, 8), torch.ones(8, 8)])
    out = by(Mask(mask), residuals(4, 2, batch=6), 0, 1).output[0]
    assert out is not None
    assert [bool(row.any()) for row in out] == [False, True, False] * 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_no_numbers_are_seen(value: float) -> None:
    bad = residuals(4, 2)
    assert bad.middle[0] is not None
    bad.middle[0][0, 0, 0, 0] = value
    assert not bad.finite()
    assert residuals(4, 2).finite()
    assert Residuals(output=(None,)).finite()


def test_the_papers_weights_are_1_at_64_and_8_at_8() -> None:
    tensors = tuple(torch.ones(1, 1, h, h) for h in (64, 32, 16, 8))
    weighted = by(Resolution(), Residuals(middle=(tensors[3],), output=tensors))
    assert [float(t.mean()) for t in weighted.output if t is not None] == [1.0, 2.0, 4.0, 8.0]
    assert weighted.middle[0] is not None
    assert float(weighted.middle[0].mean()) == 8.0


@pytest.mark.parametrize(
    ("sides", "batch", "rows"),
    [([0], 2, [0, 1]), ([1], 2, []), ([1, 0], 4, [2, 3]), ([0, 1], 4, [0, 1]),
     ([1, 0, 0], 3, [1, 2]), ([], 3, [0, 1, 2])],
)  # fmt: skip
def test_a_number_for_each_side(sides: list[int], batch: int, rows: list[int]) -> None:
    out = by(Sides(cond=2.0, uncond=0.5), Residuals(output=(torch.ones(batch, 1, 4, 4),)), *sides)
    assert out.output[0] is not None
    expected = [2.0 if row in rows else 0.5 for row in range(batch)]
    assert out.output[0][:, 0, 0, 0].tolist() == expected


def test_a_call_of_some_rows_keeps_whole_conditionings_together() -> None:
    whole = call(6, 1, 0, 0)
    part = whole.only([2, 3, 4, 5])
    assert (part.chunks, len(part.x), part.options["cond_or_uncond"]) == (2, 4, [0, 0])
    single = whole.only([1, 2])
    assert (single.chunks, len(single.x), single.options["cond_or_uncond"]) == (2, 2, [1, 0])
    assert whole.only(range(6)) is whole


def test_placed_rows_are_zero_elsewhere() -> None:
    part = residuals(4, 2, batch=2)
    whole = part.placed(torch.tensor([1, 3]), 5)
    assert whole.output[0] is not None
    assert torch.equal(whole.output[0][[1, 3]], part.output[0])
    assert not whole.output[0][[0, 2, 4]].any()


def tensors(*seeds: int) -> tuple[Tensor, ...]:
    return tuple(
        torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) for seed in seeds
    )


def test_a_sum_of_many_is_written_to_its_own_tensors_alone() -> None:
    """The same bits as new tensors each time; whoever gave a part finds it as it was."""
    parts = [Residuals(middle=tensors(n), output=tensors(10 + n, 20 + n)) for n in range(4)]
    before = [[t.clone() for _, group in part.groups() for t in group] for part in parts]
    expected = parts[0] + parts[1] + parts[2] + parts[3]
    made: set[int] = set()
    total = parts[0]
    ids = []
    for part in parts[1:]:
        total = total.plus(part, made)
        ids.append([id(t) for _, group in total.groups() for t in group])
    assert ids[0] == ids[1] == ids[2]
    for group in ("middle", "output"):
        pairs = zip(getattr(total, group), getattr(expected, group), strict=True)
        assert all(torch.equal(mine, theirs) for mine, theirs in pairs)
    for part, copies in zip(parts, before, strict=True):
        now = [t for _, group in part.groups() for t in group]
        assert all(torch.equal(one, copy) for one, copy in zip(now, copies, strict=True))


def test_a_tensor_at_several_blocks_is_not_written_to() -> None:
    """A transformer's net gives one to many blocks; the next one may add another at each."""
    (one, two), (first, second) = tensors(1, 2), tensors(3, 4)
    made: set[int] = set()
    shared = Residuals(output=(one, one)).plus(Residuals(output=(two, two)), made)
    assert shared.output[0] is shared.output[1]
    total = shared.plus(Residuals(output=(first, second)), made)
    assert torch.equal(total.output[0], one + two + first)
    assert torch.equal(total.output[1], one + two + second)


def test_what_only_one_side_has_is_nobodys_to_write_to() -> None:
    (one, two), (later,) = tensors(1, 2), tensors(3)
    made: set[int] = set()
    total = Residuals(middle=(None,), output=(one,)).plus(Residuals(middle=(two,)), made)
    assert total.middle[0] is two
    again = total.plus(Residuals(middle=(later,), output=(later,)), made)
    assert again.middle[0] is not two
    assert torch.equal(two, tensors(2)[0])
    assert torch.equal(one, tensors(1)[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_finite_values_whose_sum_is_not_are_finite(dtype: torch.dtype) -> None:
    large = torch.full((2, 3, 4, 4), torch.finfo(dtype).max, dtype=dtype)
    assert Residuals(output=(large, -large)).finite()
    for value in (float("inf"), float("-inf"), float("nan")):
        wrong = large.clone()
        wrong[1, 2, 3, 0] = value
        assert not Residuals(output=(large, None, wrong)).finite()
    both = torch.zeros(2, 1, 1, 1)
    both[0], both[1] = float("inf"), float("-inf")
    assert not Residuals(middle=(both,)).finite()
    assert Residuals().finite()
