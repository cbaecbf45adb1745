"""Training a ControlNet: it learns, the locked weights stay, and every option does what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.training import control_net
from controlstack.training.events import GAIN, Point, Validation
from controlstack.training.locked_unet import decoder, locked, predict, unlocked
from controlstack.training.settings import NetSettings
from controlstack.training.trainable import control_net_from, weights_hash
from tests.training.small_runs import NET, Rows, notes_in, same_weights, small_run, small_unet


def _changed(before: Any, after: Any) -> set[str]:
    new = after.state_dict()
    return {
        name for name, value in before.state_dict().items() if not torch.equal(value, new[name])
    }


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["controlnet", "gaussian", "lite"])
def test_it_teaches_the_network_and_leaves_the_locked_weights(kind: str, precision: str) -> None:
    unet = small_unet()
    before = weights_hash(unet)
    network = control_net_from(unet, NetSettings(kind, NET.hint_channels), 3)
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    trained = small_run(unet=unet, network=network, precision=precision, steps=5)
    assert weights_hash(unet) == before
    assert all(p.grad is None and not p.requires_grad for p in unet.parameters())
    assert trained.network is network
    assert (trained.step, trained.stopped, trained.unet) == (5, False, None)
    assert next(network.parameters()).dtype == torch.float32
    moved = {name for name, value in network.state_dict().items() if not value.equal(fresh[name])}
    assert moved == set(fresh)


def test_the_optimiser_holds_the_network_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    loops: list[Any] = []

    class Kept(control_net.Loop):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            loops.append(self)

    monkeypatch.setattr(control_net, "Loop", Kept)
    network = control_net_from(small_unet(), NET, 3)
    small_run(network=network, steps=2, rate=1e-3, new_rate=5e-3, schedule="constant")
    groups = loops[0].optimiser.param_groups
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in network.parameters())
    assert len(loops[0].optimiser.state) == len(held)
    assert [group["lr"] for group in groups] == [1e-3, 5e-3]


def test_it_overfits_a_row() -> None:
    few = {"steps": 45, "batch": 16, "rate": 1e-2, "prompt_dropout": 0.0, "log_every": 15}
    events: list[Any] = []
    small_run(hear=events.append, rows=Rows(1), timesteps="stratified", **few)
    losses = [event.loss for event in events if isinstance(event, Point)]
    assert losses[-1] < 0.85 * losses[0]


def test_a_fresh_networks_prediction_is_the_locked_ones() -> None:
    unet = small_unet().requires_grad_(False)
    network = control_net_from(unet, NET, 3)
    noisy, words, hints = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 8), torch.rand(2, 3, 64, 64)
    times = torch.tensor([3, 700])
    with torch.no_grad():
        plain = unet(noisy, times, words).sample
        assert torch.equal(predict(unet, network, noisy, times, words, hints), plain)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_unlocked_decoder_is_trained_and_the_callers_base_is_not(precision: str) -> None:
    unet, tried, events = small_unet(), [], list[Any]()
    before = weights_hash(unet)

    def validate(step: int, network: Any) -> None:
        tried.append(weights_hash(unet))

    given = {"unlock_decoder": True, "precision": precision, "validate_every": 2, "steps": 4}
    trained = small_run(hear=events.append, unet=unet, validate=validate, **given)
    assert ["decoder is trained" in note for note in notes_in(events)] == [True]
    assert weights_hash(unet) == before
    assert tried[0] == before
    assert tried[2] == weights_hash(trained.unet) != tried[1]
    trained_parts = ("up_blocks", "conv_norm_out", "conv_out")
    assert _changed(unet, trained.unet) == {
        name for name in unet.state_dict() if name.startswith(trained_parts)
    }


def test_all_but_an_unlocked_decoder_is_shared_with_the_base() -> None:
    unet = small_unet()
    copy = unlocked(unet)
    own = {id(p) for p in decoder(copy).parameters()}
    theirs = {id(p) for p in unet.parameters()}
    assert not own & theirs
    assert {id(p) for p in copy.parameters()} - own <= theirs
    assert unlocked(locked(unet, "bf16")).dtype == torch.float32


def test_only_the_middle_is_trained_and_the_skips_stay_without_control() -> None:
    unet = small_unet()
    network = control_net_from(unet, NET, 3)
    trained = small_run(unet=unet, network=network, steps=4, only_middle=True)
    skips = trained.network.controlnet_down_blocks
    assert not any(p.any() for p in skips.parameters())
    assert all(p.requires_grad for p in skips.parameters())
    assert trained.network.controlnet_mid_block.weight.any()


def test_only_the_middle_is_used_of_a_network_whose_skips_were_trained_before() -> None:
    unet = small_unet()
    network = control_net_from(unet, NetSettings("gaussian", NET.hint_channels), 3)
    trained = small_run(unet=unet, network=network, steps=4, only_middle=True).network
    noisy, words, hints = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 8), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        down, middle = trained(noisy, torch.tensor([300]), words, hints, return_dict=False)
    assert not any(x.any() for x in down)
    assert middle.any()


def test_activations_computed_twice_change_nothing_and_are_given_up_afterwards(plain: Any) -> None:
    unet = small_unet()
    network = control_net_from(unet, NET, 3)
    saved = small_run(unet=unet, network=network, steps=4, gradient_checkpointing=True).network
    assert not unet.is_gradient_checkpointing
    assert not network.is_gradient_checkpointing
    wanted, again = plain.state_dict(), saved.state_dict()
    assert all(torch.allclose(again[name], wanted[name], atol=1e-6) for name in wanted)


@pytest.fixture(scope="module")
def plain() -> Any:
    """The network after four steps without options, the last two of them at the full rate."""
    return small_run(steps=4).network


@pytest.mark.parametrize(
    "settings",
    [
        {"min_snr": 5.0},
        {"offset_noise": 0.3},
        {"timesteps": "stratified"},
        {"ema": 0.9},
        {"prompt_dropout": 0.0},
        {"max_grad_norm": 0.01},
        {"weight_decay": 1.0},
        {"new_rate": 1e-2},
        {"schedule": "cosine"},
        {"seed": 1},
        {"prediction": "v_prediction"},
        {"accumulate": 2},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_every_option_has_an_effect(settings: dict[str, Any], plain: Any) -> None:
    assert not same_weights(plain, small_run(**{"steps": 4, **settings}).network)


def test_dropped_prompts_are_those_of_the_order() -> None:
    rows = Rows()
    small_run(rows=rows, steps=5, batch=20, prompt_dropout=0.25)
    assert len(rows.seen) == 100
    assert 10 < sum(pick.drop for pick in rows.seen) < 40


def test_validations_come_before_the_first_step_at_each_count_and_at_the_end() -> None:
    steps: list[int] = []

    def validate(step: int, network: Any) -> None:
        steps.append(step)

    small_run(validate=validate, steps=5, validate_every=2)
    assert steps == [0, 2, 4, 5]
    steps.clear()
    small_run(validate=validate, steps=2)
    assert not steps


GAINS = {0: 0.0, 2: 0.1, 4: 0.3, 6: 0.29, 8: 0.3, 10: 0.4}


def test_a_gain_that_grows_no_more_ends_the_training_for_good(tmp_path: Path) -> None:
    def validate(step: int, network: Any) -> Validation:
        return Validation(step, {GAIN: GAINS[step]})

    events: list[Any] = []
    given: dict[str, Any] = {"steps": 10, "validate_every": 2, "folder": tmp_path}
    done = small_run(hear=events.append, validate=validate, stop_when=2, **given)
    assert (done.step, done.stopped) == (8, False)
    assert notes_in(events)[-1] == (
        "the gain has not grown in 2 validations: the training is done at step 8"
    )
    again = small_run(validate=validate, stop_when=2, resume=True, **given)
    assert (again.step, again.stopped) == (8, False)
    assert same_weights(again.network, done.network)
    # More patience is no other step: the run goes on to its last.
    more = small_run(validate=validate, stop_when=3, resume=True, **given)
    assert (more.step, more.stopped) == (10, False)


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(UserError, match="no picture"):
        small_run(rows=Rows(0))


def test_a_run_without_a_folder_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small_run(steps=2)
    assert not list(tmp_path.iterdir())
