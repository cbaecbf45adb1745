"""Training on SDXL: what it is told, its loss beside diffusers' networks, its cache and files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.models import loading
from controlstack.headless.sampling.size_conditioning import y_of
from controlstack.headless.training_base import load_base
from controlstack.headless.transfer import load_existing
from controlstack.preprocessors.sizing import Placement, resized
from controlstack.training.base import Base
from controlstack.training.base_fit import check_base, check_fits
from controlstack.training.batch import Pick
from controlstack.training.control_net import Trained, train_control_net
from controlstack.training.data.batch_reader import Reader
from controlstack.training.data.captions import drawn
from controlstack.training.data.training_data import OWN_NOISE, TrainingData, training_data
from controlstack.training.data.view import View, view_of
from controlstack.training.events import Point
from controlstack.training.export import save_folder, save_single_file
from controlstack.training.gain import GainMeasure
from controlstack.training.objective import draw_noise, draw_timesteps, scaled_linear_alphas
from controlstack.training.row_order import RowOrder, Shares
from controlstack.training.sampling import sample
from controlstack.training.sdxl import as_diffusers, as_sampled, with_y
from controlstack.training.settings import DataSettings, NetSettings, TrainingSettings
from controlstack.training.trainable import control_net_from, started_from
from tests.headless.models.sdxl_tiny import CONFIG, WIDTH, save_pipeline, sdxl_unet
from tests.tiny import tiny_controlnet, tiny_unet
from tests.training.small_runs import same_weights, stop_after
from tests.training_files import fill50k, picture

NET = NetSettings(hint_channels="4,4,8,8")
LORA = replace(NET, kind="control_lora", rank=2)
SCALE = 0.13025
WIDE, HIGH = 96, 64  # of the pictures
SETTINGS: dict[str, Any] = {
    **{"steps": 6, "batch": 2, "rate": 1e-3, "warmup": 0, "log_every": 1, "save_every": 3},
    **{"schedule": "constant", "ema": 0.9},
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline(tmp_path_factory.mktemp("sdxl") / "sdxl")


@pytest.fixture(scope="module")
def base(pipeline: Path) -> Base:
    return load_base(pipeline)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill50k(tmp_path_factory.mktemp("rows"), 4, WIDE, HIGH)


def data(folder: Path, base: Base, **more: Any) -> TrainingData:
    given: dict[str, Any] = {"crop": "random", "flip": 0.5, **more}
    assert base.encoders is not None
    return training_data(DataSettings(path=str(folder), resolution="32", **given), base.encoders)


def network_of(base: Base) -> Any:
    """One that was trained a little: it adds something."""
    network = control_net_from(base.unet, NET, 1)
    chance = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn(weight.shape, generator=chance), alpha=0.02)
    return network


def run(
    base: Base, rows: TrainingData, network: Any, folder: Path | None = None, **more: Any
) -> Iterator[Any]:
    resume = more.pop("resume", False)
    settings = TrainingSettings(**{**SETTINGS, **more})
    return train_control_net(base, network, rows, settings, folder, {}, resume)


def random(*shape: int, seed: int = 5) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# What is told of a picture


@pytest.mark.parametrize(
    ("crop", "flip", "told"),
    [
        ((50, 0, 250, 200), False, (200, 300, 0, 16, 64, 64)),
        ((50, 0, 250, 200), True, (200, 300, 0, 16, 64, 64)),
        ((0, 0, 200, 200), False, (200, 300, 0, 0, 64, 64)),
        ((0, 0, 200, 200), True, (200, 300, 0, 32, 64, 64)),  # 100 pixels at 64 / 200
        ((30, 0, 230, 200), True, (200, 300, 0, 22, 64, 64)),  # 70 pixels
    ],
)
def test_a_known_crop(crop: tuple[int, ...], flip: bool, told: tuple[int, ...]) -> None:
    left, top, right, bottom = crop
    placement = Placement((left, top, right, bottom), (0, 0, 64, 64), (64, 64))
    assert View(placement, flip).told((300, 200)) == told


def test_a_high_picture_in_a_bucket_and_in_a_square() -> None:
    settings = DataSettings(resolution="64")
    assert view_of((200, 400), settings, 0).told((200, 400)) == (400, 200, 32, 0, 64, 64)
    bucket = view_of((200, 400), replace(settings, buckets=True), 0)
    assert bucket.placement.size == (40, 96)
    # 40 / 96 of 400 are 166 columns: 17 of 200 are cut off at each side, 4 of the bucket's.
    assert bucket.told((200, 400)) == (400, 200, 0, 4, 96, 40)


# The loss


@torch.no_grad()
def by_hand(pipeline: Path, network: Any, folder: Path, rows: TrainingData) -> list[float]:
    """The losses of the first two steps without an update between, by diffusers' and transformers'
    own classes.
    """
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    unet = UNet2DConditionModel.from_pretrained(pipeline / "unet")
    control = ControlNetModel.from_config(network.config)
    control.load_state_dict(network.state_dict())
    vae = AutoencoderKL.from_pretrained(pipeline / "vae")
    first = CLIPTextModel.from_pretrained(pipeline / "text_encoder")
    second = CLIPTextModelWithProjection.from_pretrained(pipeline / "text_encoder_2")
    tokenizer = CLIPTokenizer.from_pretrained(pipeline / "tokenizer")
    settings = TrainingSettings(**SETTINGS)
    alphas = scaled_linear_alphas()
    shares = Shares(2, 1, 1, 0)
    order = RowOrder(len(rows), settings.seed, settings.prompt_dropout, shares, ())
    losses = []
    for step, picks in enumerate(order.picks(range(2))):
        times = draw_timesteps(2, 1000, False, 0, "timestep", step)
        noise = draw_noise((4, 4, 4), 0.0, [(0, "noise", step, place) for place in range(2)])
        latents, words, pooled, sizes, hints = [], [], [], [], []
        for pick in picks:
            chance = torch.Generator().manual_seed(pick.seed ^ OWN_NOISE)
            left, flip = _crop(pick)
            seen = _seen(picture(pick.row, WIDE, HIGH), left, flip) * 2 - 1
            posterior = vae.encode(seen[None]).latent_dist
            drawn_noise = torch.randn((4, 4, 4), generator=chance)
            latents.append(SCALE * (posterior.mean[0] + posterior.std[0] * drawn_noise))
            hints.append(_seen(picture(100 + pick.row, WIDE, HIGH), left, flip))
            prompt = "" if pick.drop else drawn((f"prompt {pick.row}",), pick.seed)
            ids = tokenizer(prompt).input_ids
            padded = [torch.tensor([[*ids, *[pad] * (77 - len(ids))]]) for pad in (ids[-1], 0)]
            states = [
                net(rows_, output_hidden_states=True)
                for net, rows_ in zip((first, second), padded, strict=True)
            ]
            words.append(torch.cat([one.hidden_states[-2] for one in states], dim=-1)[0])
            pooled.append(states[1].text_embeds[0])
            cut_off = WIDE - (left + HIGH) if flip else left
            sizes.append([HIGH, WIDE, 0, round(cut_off / 2), 32, 32])  # 64 pixels become 32
        kept = alphas[times].view(-1, 1, 1, 1)
        noisy = kept.sqrt() * torch.stack(latents) + (1 - kept).sqrt() * noise
        added = {"text_embeds": torch.stack(pooled), "time_ids": torch.tensor(sizes)}
        down, middle = control(
            noisy, times, torch.stack(words), torch.stack(hints),
            added_cond_kwargs=added, return_dict=False,
        )  # fmt: skip
        predicted = unet(
            noisy, times, torch.stack(words), added_cond_kwargs=added,
            down_block_additional_residuals=down, mid_block_additional_residual=middle,
        ).sample  # fmt: skip
        losses.append(float(((predicted - noise) ** 2).mean()))
    return losses


def _crop(pick: Pick) -> tuple[int, bool]:
    settings = DataSettings(resolution="32", crop="random", flip=0.5)
    view = view_of((WIDE, HIGH), settings, pick.seed)
    return view.placement.crop[0], view.flip


def _seen(pixels: Any, left: int, flip: bool) -> Tensor:
    """A part of a picture that is 64 pixels wide, as (3, 32, 32) in 0..1."""
    small = torch.from_numpy(resized(pixels[:, left : left + HIGH], (32, 32)))
    seen = small.permute(2, 0, 1).float() / 255
    return seen.flip(2) if flip else seen


def test_the_loss_is_that_of_diffusers_own_networks(
    pipeline: Path, base: Base, folder: Path
) -> None:
    rows = data(folder, base)
    network = network_of(base)
    wanted = by_hand(pipeline, network, folder, rows)
    events = run(base, rows, network, steps=2, rate=0.0, weight_decay=0.0)
    found = [event.loss for event in events if isinstance(event, Point)]
    assert found == pytest.approx(wanted, rel=1e-5)
    first, second = wanted
    assert abs(first - second) > 0.01  # so that steps are told apart


def test_a_batch_tells_which_part_of_which_picture_is_seen(base: Base, folder: Path) -> None:
    rows = data(folder, base)
    picks = [Pick(0, 11, False), Pick(1, 12, True), Pick(0, 13, False)]
    (batch,) = rows.load([picks])
    assert batch.added is not None
    wanted = []
    for pick in picks:
        left, flip = _crop(pick)
        cut_off = WIDE - (left + HIGH) if flip else left
        wanted.append([HIGH, WIDE, 0, round(cut_off / 2), 32, 32])
    assert batch.added["time_ids"].tolist() == wanted
    assert len({row[3] for row in wanted}) > 1
    assert base.encoders is not None
    texts = base.encoders.texts(["prompt 0", "", "prompt 0"])
    assert texts.pooled is not None
    torch.testing.assert_close(batch.added["text_embeds"], texts.pooled)
    torch.testing.assert_close(batch.words, texts.words)


def test_other_bases_are_told_nothing(folder: Path) -> None:
    from tests.training_files import FormulaEncoders

    rows = training_data(DataSettings(path=str(folder), resolution="32"), FormulaEncoders())
    (batch,) = rows.load([[Pick(0, 1, False)]])
    assert batch.added is None


# The cache


def test_a_cache_holds_pooled_texts_and_the_batches_are_the_same(
    base: Base, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file, save_file

    center = {"crop": "center"}
    cached = data(folder, base, cache=str(tmp_path / "cache"), **center)
    files = sorted((tmp_path / "cache").glob("words-*/*/*.safetensors"))
    assert len(files) == 5  # four prompts and the empty one
    tensors = load_file(files[0])
    assert tensors["pooled"].shape == (WIDTH,)
    assert tensors["words"].shape == (77, 2 * WIDTH)
    picks = [[Pick(0, 21, False), Pick(3, 22, True)], [Pick(2, 23, False), Pick(1, 24, False)]]
    for one, other in zip(
        cached.load(picks), data(folder, base, **center).load(picks), strict=True
    ):
        assert one.added is not None
        assert other.added is not None
        torch.testing.assert_close(one.latents, other.latents, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(one.words, other.words, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            one.added["text_embeds"], other.added["text_embeds"], rtol=1e-5, atol=1e-5
        )
        assert torch.equal(one.added["time_ids"], other.added["time_ids"])
    save_file({"words": tensors["words"]}, files[0])  # as an older file of another base would be
    data(folder, base, cache=str(tmp_path / "cache"), **center)
    assert load_file(files[0]).keys() == {"words", "pooled"}


# A run


@pytest.mark.parametrize("net", [NET, LORA], ids=lambda net: net.kind)
@pytest.mark.parametrize(
    "more", [{"precision": "bf16", "gradient_checkpointing": True}, {"accumulate": 2}]
)
def test_a_run_stopped_and_resumed_is_the_whole_run_bit_for_bit(
    base: Base, folder: Path, tmp_path: Path, more: dict[str, Any], net: NetSettings
) -> None:
    rows = data(folder, base, crop="center", cache=str(tmp_path / "cache"))

    def ended(name: str, stop: int = 0, resume: bool = False) -> Trained:
        network = control_net_from(base.unet, net, 1)
        events = run(base, rows, network, tmp_path / name, resume=resume, **more)
        hear = stop_after(stop)
        with closing(events):
            for event in events:
                hear(event)
        assert isinstance(event, Trained)
        return event

    whole = ended("whole")
    first = ended("run", stop=4)
    assert (first.step, first.stopped) == (4, True)
    rest = ended("run", resume=True)
    assert same_weights(rest.network, whole.network)
    fresh = control_net_from(base.unet, net, 1).add_embedding.state_dict()
    moved = whole.network.add_embedding.state_dict()
    assert fresh.keys() == moved.keys()
    assert not any(torch.equal(moved[name], value) for name, value in fresh.items())


def test_checkpointed_activations_change_nothing(base: Base, folder: Path) -> None:
    rows = data(folder, base)
    networks = []
    for twice in (False, True):
        network = network_of(base)
        list(run(base, rows, network, steps=2, gradient_checkpointing=twice))
        networks.append(network.state_dict())
    for name, value in networks[0].items():
        torch.testing.assert_close(value, networks[1][name], rtol=1e-4, atol=1e-6)


# Its files, and what goes on from them


def test_the_folder_is_diffusers_own_and_runs_in_the_embedded_host(
    base: Base, tmp_path: Path
) -> None:
    from diffusers import ControlNetModel

    network = network_of(base).eval()
    save_folder(network, tmp_path / "net", {"base": "sdxl"})
    theirs = ControlNetModel.from_pretrained(tmp_path / "net")
    assert theirs.config.addition_embed_type == "text_time"
    assert same_weights(theirs, network)
    x, t, words, pooled = random(1, 4, 8, 8), torch.tensor([500]), random(1, 77, 128), random(1, 64)
    hint = random(1, 3, 64, 64).sigmoid()
    added = as_sampled(pooled, 64, 64)
    net: Any = loading.load_control_network(tmp_path / "net")
    y = y_of(WIDTH + 6 * 256, {"pooled_output": pooled}, (8, 8))
    with torch.no_grad():
        down, middle = theirs(x, t, words, hint, added_cond_kwargs=added, return_dict=False)
        ours = net(x, t, words, hint, class_labels=y, return_dict=False)
    for one, other in zip([*down, middle], [*ours[0], ours[1]], strict=True):
        assert float(one.std()) > 1e-4
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_single_file_has_its_vector_s_layers(base: Base, tmp_path: Path) -> None:
    network = network_of(base)
    save_single_file(network, tmp_path / "net.safetensors")
    again = load_existing(tmp_path / "net.safetensors")
    assert again.config.addition_embed_type == "text_time"
    assert same_weights(again, network)
    check_fits(again, base.unet, "the ControlNet", "the base")


def test_both_forms_share_their_weights_and_say_the_same(base: Base) -> None:
    unet = sdxl_unet()
    x, t, words, pooled = (
        random(2, 4, 8, 8),
        torch.tensor([7, 900]),
        random(2, 77, 128),
        random(2, 64),
    )
    y = y_of(WIDTH + 6 * 256, {"pooled_output": pooled}, (8, 8))
    added = as_sampled(pooled, 64, 64)
    turned = with_y(unet)
    with torch.no_grad():
        wanted = unet(x, t, words, added_cond_kwargs=added).sample
        assert torch.equal(turned(x, t, words, class_labels=y).sample, wanted)
        back = as_diffusers(turned)
        assert torch.equal(back(x, t, words, added_cond_kwargs=added).sample, wanted)
    assert back.state_dict().keys() == unet.state_dict().keys()
    assert back.add_embedding.linear_1.weight is unet.add_embedding.linear_1.weight
    assert unet.config.addition_embed_type == "text_time"


def test_what_was_trained_before_goes_on_where_it_fits(base: Base, tmp_path: Path) -> None:
    network = network_of(base)
    save_folder(network, tmp_path / "net")
    started = started_from(load_existing(tmp_path / "net"), base.unet)
    assert same_weights(started, network)
    with pytest.raises(UserError, match="does not fit the base: its block_out_channels"):
        started_from(tiny_controlnet(tiny_unet()), base.unet)
    other = type(base.unet)(**{**base.unet.config, "projection_class_embeddings_input_dim": 1632})
    with pytest.raises(UserError, match="its projection_class_embeddings_input_dim is 1632"):
        started_from(control_net_from(other, NET), base.unet)


# What is drawn and measured meanwhile


def test_validations_are_told_what_hosts_tell(base: Base) -> None:
    """One step without guidance is one prediction, of a picture of 64 x 96 pixels."""
    hints, words, pooled = torch.rand(1, 3, 64, 96), random(1, 77, 128), random(1, 64)
    network = network_of(base)
    found = sample(base, network, hints, words, words, [4], 1, 1.0, (pooled, pooled))
    x = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(4))
    y = y_of(WIDTH + 6 * 256, {"pooled_output": pooled}, (8, 12))
    net, unet = with_y(network), with_y(base.unet)
    with torch.no_grad():
        down, middle = net(x, 999, words, hints, class_labels=y, return_dict=False)
        noise = unet(
            x, 999, words, class_labels=y,
            down_block_additional_residuals=down, mid_block_additional_residual=middle,
        ).sample  # fmt: skip
    alpha = base.alphas[999]
    wanted = (x - (1 - alpha).sqrt() * noise) / alpha.sqrt()
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_guidance_takes_the_empty_prompt_s_pooled_text(base: Base) -> None:
    hints, words = torch.rand(1, 3, 64, 64), random(1, 77, 128)
    one, other = random(1, 64, seed=1), random(1, 64, seed=2)

    def drawn_with(*pooled: Tensor) -> Tensor:
        return sample(base, None, hints, words, words, [4], 1, 3.0, (pooled[0], pooled[1]))

    plain = sample(base, None, hints, words, words, [4], 1, 1.0, (one, one))
    torch.testing.assert_close(drawn_with(one, one), plain, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(drawn_with(one, other), plain, rtol=1e-2, atol=1e-2)


def test_the_gain_is_measured(base: Base) -> None:
    import numpy as np

    pictures = np.stack([picture(number, 64, 64) for number in range(3)])
    measure = GainMeasure(base, pictures, torch.rand(3, 3, 64, 64), seed=0)
    untrained = measure(control_net_from(base.unet, NET))
    assert untrained.figures()["gain"] == pytest.approx(0, abs=1e-6)
    assert measure(network_of(base)).figures()["gain"] != 0


# What is refused


def unet_of(**more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    ups = ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")
    return UNet2DConditionModel(**{**CONFIG, "up_block_types": ups, **more})


def test_other_members_of_the_family_are_refused() -> None:
    with pytest.raises(UserError, match="is the SDXL refiner"):
        check_base(unet_of(cross_attention_dim=1280))
    with pytest.raises(UserError, match="takes 9 channels and gives 4: it is made for inpainting"):
        check_base(unet_of(in_channels=9))
    with pytest.raises(UserError, match="SDXL family, and a lite network"):
        control_net_from(unet_of(), replace(NET, kind="lite"))
    check_base(unet_of())


def test_one_text_encoder_of_two_is_refused(pipeline: Path, tmp_path: Path) -> None:
    import shutil

    alone = Path(shutil.copytree(pipeline / "text_encoder", tmp_path / "text_encoder"))
    shutil.copytree(pipeline / "tokenizer", tmp_path / "tokenizer")
    with pytest.raises(UserError, match="gives texts 64 wide and sdxl reads 128"):
        load_base(pipeline, text_encoder=alone)
    assert load_base(pipeline, text_encoder=pipeline / "text_encoder").encoders is not None


def test_readers_know_whether_sizes_are_told(base: Base, folder: Path) -> None:
    reader = data(folder, base)._reader
    assert isinstance(reader, Reader)
    assert reader.sizes
