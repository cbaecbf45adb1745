"""What a recording says of a run, against numbers."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.models.loading import load_control_net
from controlstack.headless.models.t2i_adapter import T2IAdapter
from controlstack.headless.models.t2i_network import FULL
from controlstack.headless.sampling.sample import ksample
from controlstack.model_patch.control import Control, ControlStack
from controlstack.model_patch.factors import Sides, Span
from controlstack.model_patch.patch import patch
from controlstack.model_patch.record import Record, every_run, recordings
from controlstack.model_patch.recorder import Recorder
from controlstack.model_patch.residuals import Residuals
from controlstack.model_patch.run import Session
from controlstack.model_patch.schedule import Window
from tests.headless.models.t2i_files import adapter, save_adapter
from tests.model_patch import stacks
from tests.model_patch.measured import SIGMAS, measured
from tests.model_patch.recording import BASE, SIZE, Numbers, hints, numbered
from tests.tiny import tiny_model

LEFT = (torch.arange(64) < 32).float().expand(1, 64, 64)


def test_energies_are_those_of_what_was_added() -> None:
    record = measured((numbered(0.5, strength=0.5),))

    assert [place.name for place in record.places] == ["output 0", "output 1", "middle"]
    for place, edge in enumerate((SIZE, SIZE // 2, SIZE // 2)):
        one_side = 2 * 4 * edge * edge * 0.25**2
        assert record.added[0, place].tolist() == [[one_side, one_side]] * 4
    assert not record.relative
    assert np.allclose(record.sizes(0), 0.25)


def test_sizes_are_shares_of_the_features() -> None:
    features = torch.full((4, 4, SIZE, SIZE), 2.0)
    features[2:] = 4.0  # the negative prompt's side

    record = measured((numbered(1.0),), features=features)

    assert record.relative
    assert np.allclose(record.sizes(0, side=0)[0], 1 / 2)
    assert np.allclose(record.sizes(0, side=1)[0], 1 / 4)
    coarse = np.sqrt(1 / 4)  # a quarter of the values, beside a feature that is not
    assert np.allclose(record.sizes(0, side=0)[2], coarse / 2)


def test_what_t2i_adapters_added_is_taken_out_of_the_feature() -> None:
    adapter = Numbers()
    get_control = adapter.get_control
    adapter.copy = lambda: adapter  # type: ignore[method-assign]
    adapter.get_control = lambda *given: {  # type: ignore[method-assign]
        "input": get_control(*given)["output"][::-1]
    }
    own = torch.full((4, 4, SIZE, SIZE), 2.0)
    recorder = Recorder(SIGMAS, Window())

    def model(control: Any, given: Any) -> None:
        shown = own + control["input"][-1]
        (hear,) = given["patches"]["input_block_patch"]
        assert hear(shown, {"block": ("input", 0)}) is shown

    options = {"sample_sigmas": torch.tensor(SIGMAS), "cond_or_uncond": [0, 1]}
    stack = (numbered(1.0, net=adapter),)
    with Session(stack, set(), Window(), recorder) as session:
        given = (torch.zeros(4, 4, SIZE, SIZE), torch.full((4,), 10.0), {}, options)
        session.apply(None, given, BASE, model)
    record = recorder.record(stack, BASE.model_sampling, 2)

    assert [place.name for place in record.places] == ["input 1", "input 0"]
    assert record.sizes(0)[0, 0] == pytest.approx(0.5)


def test_strength_0_adds_nothing() -> None:
    record = measured((numbered(1.0, strength=0.0), numbered(1.0)))

    assert record.added[0].sum() == record.maps[0].sum() == 0.0
    assert record.added[1].sum() > 0.0


def test_a_late_start_adds_nothing_before_it() -> None:
    record = measured((numbered(1.0, span=Span(0.5, 1.0)),))

    assert (record.sizes(0) > 0).any(axis=0).tolist() == [False, False, True, True]
    assert record.planned == ((0.0, 0.0, 1.0, 1.0),)


def test_half_a_mask_acts_on_one_half_of_the_picture() -> None:
    record = measured((numbered(1.0, mask=LEFT),))

    left, right = np.split(record.maps[0], 2, axis=-1)
    # Bilinear weights of the coarser maps reach half a cell over the edge.
    assert left.sum() > 10 * right.sum()
    assert right[..., 1:].sum() == 0.0
    assert record.maps.shape == (1, 2, SIZE, SIZE)
    assert record.maps.sum() == pytest.approx(record.added.sum())


def test_a_side_of_0_shows_in_that_side_alone() -> None:
    record = measured((numbered(1.0, also=(Sides(cond=1.0, uncond=0.0),)),))

    assert (record.sizes(0, side=0) == 1.0).all()
    assert (record.sizes(0, side=1) == 0.0).all()


def test_maps_are_told_apart_by_picture() -> None:
    record = measured((numbered(1.0, 3.0),))

    first, second = record.maps[0].sum((1, 2))
    assert second == pytest.approx(9 * first)


def test_an_area_is_laid_where_it_is() -> None:
    stack = (numbered(1.0),)
    recorder = Recorder(SIGMAS, Window())
    entry = {"area": (4, 4, 2, 3), "uuid": "one"}
    options = {"cond_or_uncond": [0], "uuids": ["one"], "sample_sigmas": torch.tensor(SIGMAS)}

    def model(control: Any, given: Any) -> None:
        assert [control[group] for group in ("middle", "output")]

    with Session(stack, set(), Window(), recorder) as session:
        session.note_areas([[entry]], torch.zeros(1, 4, SIZE, SIZE))
        given = (torch.zeros(1, 4, 4, 4), torch.full((1,), 10.0), {}, options)
        session.apply(None, given, BASE, model)
    where = recorder.record(stack, BASE.model_sampling, 2).maps[0, 0] > 0

    assert where[2:6, 3:7].all()
    assert where.sum() == 16


@pytest.mark.parametrize(("other", "cosine"), [(1.0, 1.0), (-1.0, -1.0), (3.0, 1.0)])
def test_the_cosine_of_two_controls(other: float, cosine: float) -> None:
    record = measured((numbered(1.0), numbered(other, span=Span(0.0, 0.5))))

    assert record.cosine(0, 1)[:3] == pytest.approx(cosine)
    assert np.isnan(record.cosine(0, 1)[3])  # the other one's range has ended


def test_the_cosine_of_what_never_meets_is_0() -> None:
    record = measured((numbered(1.0, mask=LEFT), numbered(1.0, mask=1 - LEFT)))

    assert record.cosine(0, 1) == pytest.approx(0.0, abs=1e-12)


def test_a_transformers_tokens_lie_on_the_picture() -> None:
    net = Numbers(tokens=16)

    record = measured((numbered(1.0, net=net, mask=LEFT),))

    assert not record.relative
    left, right = np.split(record.maps[0], 2, axis=-1)
    assert left.sum() > 10 * right.sum()


def test_an_answer_of_a_cache_does_not_count() -> None:
    stack = (numbered(1.0),)
    recorder = Recorder(SIGMAS, Window())
    options = {"sample_sigmas": torch.tensor(SIGMAS)}

    def model(control: Any, given: Any) -> None:
        _ = [control[group] for group in ("middle", "output")]
        if len(seen) != 1:
            (hear,) = given["patches"]["input_block_patch"]
            hear(torch.ones(1, 4, SIZE, SIZE), {"block": ("input", 0)})
        seen.append(None)

    seen: list[None] = []
    with Session(stack, set(), Window(), recorder) as session:
        for sigma in SIGMAS[:-1]:
            given = (torch.zeros(1, 4, SIZE, SIZE), torch.full((1,), sigma), {}, options)
            session.apply(None, given, BASE, model)
    record = recorder.record(stack, BASE.model_sampling, 2)

    assert (record.added[0].sum((0, 2)) > 0).tolist() == [True, False, True, True]
    assert record.ran[0].sum(1).tolist() == [1] * 4, "this one asked for residuals all the same"


def recorded(stack: ControlStack, **how: Any) -> Record:
    model = patch(tiny_model(stacks.UNET), stack, record=True)
    stacks.sample(model, **how)
    (recording,) = recordings(model)
    assert recording.last is not None
    return recording.last


def test_a_t2i_adapter_runs_once(tmp_path: Path) -> None:
    """It keeps what it made of its hint; it acts in every step all the same."""
    net = load_control_net(save_adapter(tmp_path / "net", adapter(FULL), "tencent"))
    assert isinstance(net, T2IAdapter)
    ran: list[None] = []
    net.t2i_model.register_forward_hook(lambda *_: ran.append(None))
    record = recorded((Control(net, stacks.hint(), "adapter"), stacks.control(1)))

    assert len(ran) == 1
    assert (record.ran[0] > 0).any(1).tolist() == [True, False, False, False]
    assert record.ran[1].tolist() == [[1, 1]] * 4
    assert record.added[0].sum((0, 2)).all()


def two() -> tuple[Control, ...]:
    return (stacks.control(1), stacks.control(2, strength=0.3, span=Span(0.0, 0.5)))


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_recording_changes_no_bit(sampler: str) -> None:
    plain = patch(tiny_model(stacks.UNET), two())
    measured = patch(tiny_model(stacks.UNET), two(), record=True)

    assert torch.equal(
        stacks.sample(plain, sampler=sampler), stacks.sample(measured, sampler=sampler)
    )
    assert not recordings(plain)


def test_nets_run_as_often_with_as_without() -> None:
    nets = [Numbers(), Numbers()]
    measured((numbered(1.0, net=nets[0]),))
    measured((numbered(1.0, net=nets[1]),), features=torch.ones(4, 4, SIZE, SIZE))

    assert nets[0].runs == nets[1].runs == [4] * 4


def test_the_embedded_hosts_features_are_its_networks_own() -> None:
    seen: list[Tensor] = []
    handle = stacks.UNET.conv_in.register_forward_hook(lambda *given: seen.append(given[-1]))
    try:
        record = recorded((stacks.control(1),), batch=2)
    finally:
        handle.remove()

    expected = [[step[2 * side :][:2].square().sum() for side in (0, 1)] for step in seen]
    assert np.allclose(record.features[0], torch.tensor(expected))
    assert record.relative
    assert (record.features > 0).all()
    assert len(record.places) == 13


def test_at_cfg_1_there_is_one_side() -> None:
    record = recorded((stacks.control(1),), cfg=1.0)

    assert record.added[..., 1].sum() == 0.0
    assert {row.side for row in record.rows} == {0}


def windows(model: Any, *, gap: bool = False) -> None:
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    given = ("euler", "normal", stacks.POSITIVE, stacks.NEGATIVE)
    first = ksample(model, 1, 4, 5.0, *given, latent, last_step=2)
    start = 3 if gap else 2
    ksample(model, 1, 4, 5.0, *given, first, disable_noise=True, start_step=start)


def test_a_run_that_goes_on_is_the_same_record() -> None:
    model = patch(tiny_model(stacks.UNET), (stacks.control(1),), record=True)
    windows(model)
    (record,) = (recording.last for recording in recordings(model))

    assert record is not None
    assert record.added.shape[2] == len(record.steps) == 4
    assert (record.added.sum((0, 1, 3)) > 0).all()
    assert record.schedule.sigmas == recorded((stacks.control(1),)).schedule.sigmas


@pytest.mark.parametrize("steps", [(0, 2), (2, 4)])
def test_a_part_in_which_nothing_acts_goes_on_as_well(steps: tuple[int, int]) -> None:
    span = Span(0.0, 0.4) if steps == (0, 2) else Span(0.6, 1.0)
    model = patch(tiny_model(stacks.UNET), (stacks.control(1, span=span),), record=True)
    windows(model)
    (record,) = (recording.last for recording in recordings(model))

    assert record is not None
    acted = (record.added.sum((0, 1, 3)) > 0).tolist()
    assert acted == [step in range(*steps) for step in range(4)]
    assert record.maps.sum() == pytest.approx(record.added.sum())


def test_any_other_run_begins_anew() -> None:
    model = patch(tiny_model(stacks.UNET), (stacks.control(1),), record=True)
    windows(model, gap=True)

    assert recordings(model)[0].last is not None
    assert recordings(model)[0].last.added.shape[2] == 1


def test_no_more_than_one_run_is_kept() -> None:
    model = patch(tiny_model(stacks.UNET), (stacks.control(1),), record=True)
    kept = []
    for _ in range(20):
        stacks.sample(model)
        kept.append(weakref.ref(recordings(model)[0].last))
    gc.collect()

    assert [one() is not None for one in kept] == [False] * 19 + [True]


def test_nothing_is_left_after_an_error() -> None:
    model = patch(tiny_model(stacks.UNET), (stacks.control(1),), record=True)
    stacks.sample(model)
    (recording,) = recordings(model)
    broken = model.clone()

    def failing(*_: Any) -> None:
        raise UserError("stop")

    broken.add_wrapper_with_key("apply_model", "test", failing)
    with pytest.raises(UserError, match="stop"):
        stacks.sample(broken)

    assert recording.last is None
    stacks.sample(model)
    assert recording.last is not None


def test_a_stack_that_does_nothing_is_recorded_too() -> None:
    record = recorded((stacks.control(1, strength=0.0),))

    assert record.planned == ((0.0,) * stacks.STEPS,)
    assert record.added.sum() == 0.0


def test_every_run_of_a_block_is_told() -> None:
    told: list[tuple[Record, bool]] = []
    with every_run(lambda record, goes_on: told.append((record, goes_on))):
        model = patch(tiny_model(stacks.UNET), (stacks.control(1),))
        windows(model)
    outside = patch(tiny_model(stacks.UNET), (stacks.control(1),))

    assert [goes_on for _, goes_on in told] == [False, True]
    assert told[1][0].added.shape[2] == 4
    assert not recordings(outside)


def test_half_precision_does_not_overflow() -> None:
    residual = torch.full((1, 4, 64, 64), 300.0, dtype=torch.float16)  # whose square is infinite
    recorder = Recorder((1.0, 0.0), Window())
    from controlstack.model_patch.call import Call

    call = Call.of(torch.zeros(1, 4, 64, 64), torch.ones(1), {}, {})
    part = Residuals(output=(residual,))
    recorder.saw(call)
    recorder.added(call, {0: part, 1: part})
    stack = (Control(Numbers(), hints(1.0)), Control(Numbers(), hints(1.0)))  # type: ignore[arg-type]
    record = recorder.record(stack, BASE.model_sampling, 1)

    assert record.added[0, 0, 0, 0] == pytest.approx(300.0**2 * residual.numel(), rel=1e-3)
    assert record.cosine(0, 1)[0] == pytest.approx(1.0, rel=1e-3)
