"""SDXL: its files and folders, its two texts, its ControlNets and LoRAs, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.models import inspect, loading
from controlstack.headless.models.clip import Clip
from controlstack.headless.models.lora import apply_lora
from controlstack.headless.models.parts import Part
from controlstack.headless.models.telling import in_order, kind_of_text, sampling_of
from controlstack.headless.models.text_encoder import SD2, TextEncoder
from controlstack.headless.models.vae import LATENT_SCALE, SDXL_SCALE, Vae
from tests.headless.models.ldm import unet_names
from tests.headless.models.sdxl_tiny import (
    LAYERS,
    WIDTH,
    checkpoint,
    openclip_names,
    save_pipeline,
    save_tokenizer,
    sdxl_control_net,
    sdxl_unet,
    text_encoder,
)
from tests.headless.models.tiny_files import sd_vae, tiny_taesd
from tests.tiny import tiny_clip, tiny_model, tiny_sdxl_unet, tiny_unet

UNET, VAE = sdxl_unet(), sd_vae()
FIRST, SECOND = text_encoder("l"), text_encoder("g")
X, TEXT = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 2 * WIDTH)
Y = torch.randn(1, WIDTH + 6 * 256)
TOKENIZER = tiny_clip()[0]


def saved(path: Path, tensors: dict[str, Tensor]) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdxl")
    save_tokenizer(folder / "tokenizer")
    return saved(folder / "base.safetensors", checkpoint(UNET, VAE, FIRST, SECOND))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline(tmp_path_factory.mktemp("sdxl") / "base")


@pytest.fixture
def clip(single: Path) -> Clip:
    return loading.load_clip(single)


def states(network: Any, text: str, pad: int) -> Any:
    ids = TOKENIZER(text).input_ids
    rows = torch.tensor([[*ids, *[pad] * (77 - len(ids))]])
    return network(rows, output_hidden_states=True)


def straight(text: str) -> tuple[Tensor, Tensor]:
    """What ComfyUI makes of a prompt, by transformers' own modules."""
    first = states(FIRST, text, TOKENIZER.pad_token_id).hidden_states[-2]
    second = states(SECOND, text, 0)
    return torch.cat([first, second.hidden_states[-2]], dim=-1), second.text_embeds


@pytest.mark.parametrize("form", ["single", "pipeline"])
def test_a_whole_model_in_a_file_and_in_a_folder(form: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(form)
    inspect.check(path, "checkpoints")
    model, clip, vae = loading.load_checkpoint(path)
    assert vae is not None
    assert (model.model.latent_scale, vae.factor) == (SDXL_SCALE, 1.0)
    ours = model.model.diffusion_model.state_dict()
    theirs = UNET.state_dict()
    assert {k.replace("class_embedding", "add_embedding") for k in ours} == theirs.keys()
    assert all(torch.equal(v, theirs[k.replace("class_emb", "add_emb")]) for k, v in ours.items())
    text, settings = clip.encode("a cat")[0]
    wanted, pooled = straight("a cat")
    torch.testing.assert_close(text, wanted)
    torch.testing.assert_close(settings["pooled_output"], pooled)


def test_a_pipeline_without_its_second_text_encoder_is_refused(tmp_path: Path) -> None:
    import shutil

    whole = save_pipeline(tmp_path / "base")
    shutil.rmtree(whole / "text_encoder_2")
    with pytest.raises(UserError, match="without a text_encoder_2 folder"):
        inspect.check(whole, "checkpoints")


def test_layers_are_not_normed(clip: Clip) -> None:
    clip.clip_layer(-1)
    text = clip.encode("a cat")[0][0]
    first = states(FIRST, "a cat", TOKENIZER.pad_token_id).hidden_states[-1]
    torch.testing.assert_close(text[..., :WIDTH], first)
    clip.clip_layer(-3)
    second = states(SECOND, "a cat", 0).hidden_states[-3]
    torch.testing.assert_close(clip.encode("a cat")[0][0][..., WIDTH:], second)
    clip.clip_layer(-9)  # beyond the first: the layer that nobody asks for
    torch.testing.assert_close(clip.encode("a cat")[0][0], straight("a cat")[0])


def test_a_text_for_each_encoder(clip: Clip) -> None:
    text, settings = clip.encode_each({"l": "a", "g": "b"})[0]
    torch.testing.assert_close(text[..., :WIDTH], straight("a")[0][..., :WIDTH])
    torch.testing.assert_close(text[..., WIDTH:], straight("b")[0][..., WIDTH:])
    torch.testing.assert_close(settings["pooled_output"], straight("b")[1])


def test_the_shorter_text_is_filled_with_empty_prompts(clip: Clip) -> None:
    long = ", ".join("abcdefgh" for _ in range(20))
    text = clip.encode_each({"l": "a", "g": long})[0][0]
    rows = text.shape[1] // 77
    assert rows > 1
    empty = straight("")[0][..., :WIDTH]
    torch.testing.assert_close(text[:, 77:154, :WIDTH], empty)


def test_two_texts_are_refused_by_one_encoder() -> None:
    tokenizer, network = tiny_clip()
    with pytest.raises(UserError, match="this CLIP has l: use SDXL's CLIP"):
        Clip(TextEncoder(network, tokenizer)).encode_each({"l": "a", "g": "b"})


def test_vectors_and_weights_count_in_both_encoders(clip: Clip) -> None:
    plain, weighted = clip.encode("a cat")[0][0], clip.encode("a (cat:1.5)")[0][0]
    for part in (slice(None, WIDTH), slice(WIDTH, None)):
        assert not torch.allclose(plain[..., part], weighted[..., part])
    # The pooled text has no weights.
    pooled = [clip.encode(text)[0][1]["pooled_output"] for text in ("a cat", "a (cat:1.5)")]
    torch.testing.assert_close(*pooled)


def test_two_files_are_told_by_their_widths(tmp_path: Path) -> None:
    def part(width: int) -> Part:
        return Part(tmp_path / f"{width}.safetensors", {"hidden_size": width}, dict)

    narrow, wide = part(768), part(1280)
    assert in_order([wide, narrow]) == in_order([narrow, wide]) == [narrow, wide]
    with pytest.raises(UserError, match=r"\(768 wide\) are not SDXL's two text encoders"):
        in_order([narrow, narrow])
    with pytest.raises(UserError, match="DualCLIPLoader loads it together with CLIP-L"):
        kind_of_text(wide)


def test_the_second_text_encoder_needs_its_projection(single: Path, tmp_path: Path) -> None:
    tensors = checkpoint(UNET, VAE, FIRST, SECOND)
    del tensors["conditioner.embedders.1.model.text_projection"]
    save_tokenizer(tmp_path / "tokenizer")
    with pytest.raises(UserError, match=r"has no text_projection\.weight"):
        loading.load_clip(saved(tmp_path / "base.safetensors", tensors))


def test_sd2_takes_the_layer_before_the_last_of_24(tmp_path: Path) -> None:
    """A file with the last layer left out, as diffusers' folders are, gives the same."""
    save_tokenizer(tmp_path / "tokenizer")
    whole = text_encoder("h", 1024, 24)
    state = openclip_names(whole.state_dict())
    single = {f"cond_stage_model.model.{name}": value for name, value in state.items()}
    clip = loading.load_clip(saved(tmp_path / "whole.safetensors", single))
    assert clip.encoders[0].kind == SD2
    states_ = states(whole, "a cat", 0)
    norm = whole.text_model.final_layer_norm
    torch.testing.assert_close(clip.encode("a cat")[0][0], norm(states_.hidden_states[-2]))
    short = {name: value for name, value in single.items() if ".resblocks.23." not in name}
    other = loading.load_clip(saved(tmp_path / "short.safetensors", short))
    torch.testing.assert_close(clip.encode("a cat")[0][0], other.encode("a cat")[0][0])


@pytest.mark.parametrize(
    ("marks", "prediction", "highest"),
    [((), "epsilon", 14.6), (("v_pred",), "v_prediction", 14.6)],
)
def test_the_marks_of_sdxl_tell_its_sampling(
    marks: tuple[str, ...], prediction: str, highest: float
) -> None:
    sampling = sampling_of(tiny_sdxl_unet(), marks, Path("m"))
    assert sampling.prediction_type == prediction
    assert float(sampling.sigma_max) == pytest.approx(highest, abs=0.1)


def test_sdxl_from_pure_noise() -> None:
    assert float(sampling_of(tiny_sdxl_unet(), ("v_pred", "ztsnr"), Path("m")).sigma_max) > 4000
    assert float(sampling_of(tiny_sdxl_unet(), ("ztsnr",), Path("m")).sigma_max) < 15


@pytest.mark.parametrize("mark", ["edm_mean", "edm_vpred.sigma_max"])
def test_edm_models_are_refused(mark: str) -> None:
    with pytest.raises(UserError, match="which does not run here"):
        sampling_of(tiny_sdxl_unet(), (mark,), Path("m"))


@pytest.mark.parametrize(("spread", "prediction"), [(0.2, "v_prediction"), (0.05, "epsilon")])
def test_sd2s_velocity_is_told_by_one_bias(spread: float, prediction: str) -> None:
    unet = tiny_unet(cross_attention_dim=1024, use_linear_projection=True)
    bias = unet.up_blocks[3].attentions[2].transformer_blocks[0].norm1.bias
    bias.copy_(torch.tensor([-spread, spread]).repeat(len(bias) // 2))
    assert sampling_of(unet, (), Path("m")).prediction_type == prediction


def test_other_unets_predict_noise_whatever_their_biases() -> None:
    unet = tiny_unet()
    bias = unet.up_blocks[3].attentions[2].transformer_blocks[0].norm1.bias
    bias.copy_(torch.tensor([-1.0, 1.0]).repeat(len(bias) // 2))
    assert sampling_of(unet, (), Path("m")).prediction_type == "epsilon"


@pytest.mark.parametrize("ldm", [False, True])
def test_a_control_net_in_both_layouts(tmp_path: Path, ldm: bool) -> None:
    whole = sdxl_control_net()
    state = whole.state_dict()
    names = {f"control_model.{k}": v for k, v in unet_names(state, LAYERS).items()}
    path = saved(tmp_path / "net.safetensors", names if ldm else state)
    inspect.check(path, "controlnet")
    net: Any = loading.load_control_net(path)
    hint = torch.rand(1, 3, 64, 64)
    numbers = torch.tensor([[64.0, 64, 0, 0, 64, 64]])
    pooled = torch.randn(1, WIDTH)
    from controlstack.headless.sampling.size_conditioning import y_of

    y = y_of(Y.shape[1], {"pooled_output": pooled}, (8, 8))
    t = torch.tensor([5.0])
    down, middle = net.network(X, t, TEXT, net.network.encode_hint(hint), 1.0, y)
    wanted = whole(
        *(X, t, TEXT, hint),
        added_cond_kwargs={"text_embeds": pooled, "time_ids": numbers},
        return_dict=False,
    )
    torch.testing.assert_close(middle, wanted[1])
    for one, other in zip(down, wanted[0], strict=True):
        torch.testing.assert_close(one, other)


def test_nets_and_models_of_unlike_families(single: Path, tmp_path: Path) -> None:
    net = loading.load_control_net(
        saved(tmp_path / "xl.safetensors", sdxl_control_net().state_dict())
    )
    base = tiny_model().model
    with pytest.raises(UserError, match=r"xl.safetensors was made for .* width of the text is 128"):
        net.pre_run(base, base.model_sampling.percent_to_sigma)
    from tests.headless.models.tiny_files import sd_control_net, sd_unet

    plain = loading.load_control_net(
        saved(tmp_path / "sd.safetensors", sd_control_net(sd_unet()).state_dict())
    )
    sdxl = loading.load_unet(single).model
    with pytest.raises(UserError, match=r"sd.safetensors was made for .* width of the text is 64"):
        plain.pre_run(sdxl, sdxl.model_sampling.percent_to_sigma)


def test_a_lora_by_ldms_names_changes_what_diffusers_names_change(
    single: Path, tmp_path: Path
) -> None:
    """Both names of each of the U-Net's weights, and both text encoders'."""
    model, clip, _ = loading.load_checkpoint(single)
    generator = torch.Generator().manual_seed(0)
    weights = {k.removesuffix(".weight"): v for k, v in UNET.state_dict().items() if v.ndim > 1}
    ldm = {k.removesuffix(".weight"): k for k in unet_names(UNET.state_dict(), LAYERS)}
    pairs = dict(zip(UNET.state_dict(), ldm.values(), strict=True))
    forms: dict[str, dict[str, Tensor]] = {"ldm": {}, "diffusers": {}}
    for name, weight in weights.items():
        up = torch.randn(weight.shape[0], 1, generator=generator)
        down = torch.randn(1, *weight.shape[1:], generator=generator)
        up = up if weight.ndim == 2 else up[..., None, None]
        other = pairs[f"{name}.weight"].removesuffix(".weight").replace(".", "_")
        for form, module in (("ldm", f"lora_unet_{other}"), ("diffusers", f"unet.{name}")):
            endings = ("lora_up", "lora_down") if form == "ldm" else ("lora_B", "lora_A")
            forms[form] |= {
                f"{module}.{ending}.weight": tensor
                for ending, tensor in zip(endings, (up, down), strict=True)
            }
    changed = []
    for form, tensors in forms.items():
        path = saved(tmp_path / f"{form}.safetensors", tensors)
        changed.append(
            apply_lora(model, clip, path, 0.5, 0.0)[0].model.diffusion_model.state_dict()
        )
    before = model.model.diffusion_model.state_dict()
    for name, weight in changed[0].items():
        assert torch.equal(weight, changed[1][name]), name
        assert torch.equal(weight, before[name]) == (weight.ndim == 1), name


@pytest.mark.parametrize(
    "names", [("lora_te1_", "lora_te2_", "_"), ("text_encoder.", "text_encoder_2.", ".")]
)
def test_a_lora_changes_each_text_encoder(
    clip: Clip, tmp_path: Path, names: tuple[str, str, str]
) -> None:
    first, second, dot = names
    where = f"text_model{dot}encoder{dot}layers{dot}0{dot}self_attn{dot}q_proj"
    ends = ("lora_up", "lora_down") if dot == "_" else ("lora_B", "lora_A")
    for index, beginning in enumerate((first, second)):
        tensors = {
            f"{beginning}{where}.{ends[0]}.weight": torch.ones(WIDTH, 1),
            f"{beginning}{where}.{ends[1]}.weight": torch.ones(1, WIDTH),
        }
        path = saved(tmp_path / "lora.safetensors", tensors)
        other = apply_lora(tiny_model(), clip, path, 0.0, 1.0)[1]
        same = [
            all(
                torch.equal(a, b)
                for a, b in zip(old.network.parameters(), new.network.parameters(), strict=True)
            )
            for old, new in zip(clip.encoders, other.encoders, strict=True)
        ]
        assert same == [index == 1, index == 0]


def test_the_projection_is_changed_too(clip: Clip, tmp_path: Path) -> None:
    key = "lora_te2_text_projection"
    tensors = {
        f"{key}.lora_up.weight": torch.ones(WIDTH, 1),
        f"{key}.lora_down.weight": torch.ones(1, WIDTH),
    }
    other = apply_lora(tiny_model(), clip, saved(tmp_path / "lora.safetensors", tensors), 0.0, 0.5)[
        1
    ]
    before, after = clip.encoders[1].projection, other.encoders[1].projection
    assert before is not None
    assert after is not None
    torch.testing.assert_close(after - before, torch.full((WIDTH, WIDTH), 0.5))


def test_a_vaes_scaling_is_the_models_alone() -> None:
    """A file of SDXL's VAE says nothing of its scaling, a folder does; a tiny one has it in it."""
    vae = sd_vae()
    assert Vae(vae).factor == 1.0
    vae.register_to_config(scaling_factor=SDXL_SCALE)
    assert Vae(vae).factor == 1.0
    assert Vae(tiny_taesd()).factor == pytest.approx(1 / LATENT_SCALE)
    assert Vae(tiny_taesd(), SDXL_SCALE).factor == pytest.approx(1 / SDXL_SCALE)


def test_it_is_trained_on(single: Path) -> None:
    """From a single file as from a folder (`tests/training/test_sdxl.py`)."""
    from controlstack.headless.training_base import load_base

    base = load_base(single)
    theirs = UNET.state_dict()
    assert base.unet.state_dict().keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in base.unet.state_dict().items())
    assert base.unet.config.addition_embed_type == "text_time"
    assert base.encoders is not None
    texts = base.encoders.texts(["a cat"])
    words, pooled = straight("a cat")
    assert texts.pooled is not None
    torch.testing.assert_close(texts.words, words)
    torch.testing.assert_close(texts.pooled, pooled)
