"""LoRA: every layout changes the same weights, by the formula, and those given stay untouched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.models.clip import Clip
from controlstack.headless.models.lora import apply_lora
from controlstack.headless.models.text_encoder import TextEncoder
from controlstack.headless.sampling.model import Model
from tests.tiny import tiny_clip, tiny_model

UNET = "down_blocks.0.attentions.0.transformer_blocks.0.attn2"
TEXT = "encoder.layers.0.self_attn"
RANK = 2
GENERATOR = torch.Generator().manual_seed(0)
TO_K = (torch.randn(RANK, 16, generator=GENERATOR), torch.randn(8, RANK, generator=GENERATOR))
TO_OUT = (torch.randn(RANK, 8, generator=GENERATOR), torch.randn(8, RANK, generator=GENERATOR))
Q_PROJ = (torch.randn(RANK, 16, generator=GENERATOR), torch.randn(16, RANK, generator=GENERATOR))


def kohya(alpha: float | None = None) -> dict[str, Tensor]:
    unet, text = UNET.replace(".", "_"), TEXT.replace(".", "_")
    named = {
        f"lora_unet_{unet}_to_k": TO_K,
        f"lora_unet_{unet}_to_out_0": TO_OUT,
        f"lora_te_text_model_{text}_q_proj": Q_PROJ,
    }
    tensors = {}
    for name, (down, up) in named.items():
        tensors[f"{name}.lora_down.weight"] = down
        tensors[f"{name}.lora_up.weight"] = up
        if alpha is not None:
            tensors[f"{name}.alpha"] = torch.tensor(alpha)
    return tensors


def dotted(down: str, up: str, processor: str = "", old: bool = False) -> dict[str, Tensor]:
    out, query = ("to_out", "to_q") if old else ("to_out.0", "q_proj")
    return {
        f"{name}{ending}": tensor
        for name, pair in (
            (f"unet.{UNET}{processor}.to_k", TO_K),
            (f"unet.{UNET}{processor}.{out}", TO_OUT),
            (f"text_encoder.text_model.{TEXT}.{query}", Q_PROJ),
        )
        for ending, tensor in zip((down, up), pair, strict=True)
    }


LAYOUTS = {
    "kohya": kohya(),
    "peft": dotted(".lora_A.weight", ".lora_B.weight"),
    "diffusers": dotted(".lora.down.weight", ".lora.up.weight"),
    "text": dotted(".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
    "old": dotted("_lora.down.weight", "_lora.up.weight", ".processor", old=True),
}


@pytest.fixture
def given() -> tuple[Model, Clip]:
    tokenizer, text_encoder = tiny_clip()
    return tiny_model(), Clip(TextEncoder(text_encoder, tokenizer))


def saved(path: Path, tensors: dict[str, Tensor], said: dict[str, str] | None = None) -> Path:
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path, said)
    return path


def state(model: Model, clip: Clip) -> dict[str, Tensor]:
    text = {f"text.{k}": v for k, v in clip.text_encoder.state_dict().items()}
    return {**model.model.diffusion_model.state_dict(), **text}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: after[k] - before[k] for k in before if not torch.equal(before[k], after[k])}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_adds_the_product_to_the_weights_it_names(
    tmp_path: Path, given: tuple[Model, Clip], layout: str
) -> None:
    path = saved(tmp_path / "lora.safetensors", LAYOUTS[layout])
    deltas = changed(state(*given), state(*apply_lora(*given, path, 0.5, 2.0)))
    text = next(k for k in deltas if k.startswith("text."))
    assert len(deltas) == 3
    for name, (down, up), strength in (
        (f"{UNET}.to_k.weight", TO_K, 0.5),
        (f"{UNET}.to_out.0.weight", TO_OUT, 0.5),
        (text, Q_PROJ, 2.0),
    ):
        torch.testing.assert_close(deltas[name], strength * up @ down, rtol=1e-4, atol=1e-5)


def test_alpha_over_rank_scales(tmp_path: Path, given: tuple[Model, Clip]) -> None:
    path = saved(tmp_path / "lora.safetensors", kohya(alpha=0.5))
    deltas = changed(state(*given), state(*apply_lora(*given, path, 1.0, 0.0)))
    wanted = (0.5 / RANK) * TO_K[1] @ TO_K[0]
    torch.testing.assert_close(deltas[f"{UNET}.to_k.weight"], wanted, rtol=1e-4, atol=1e-5)


def test_the_alpha_of_diffusers_metadata_counts(tmp_path: Path, given: tuple[Model, Clip]) -> None:
    said = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 1, "unet.r": RANK})}
    path = saved(tmp_path / "lora.safetensors", LAYOUTS["peft"], said)
    deltas = changed(state(*given), state(*apply_lora(*given, path, 1.0, 0.0)))
    wanted = (1 / RANK) * TO_K[1] @ TO_K[0]
    torch.testing.assert_close(deltas[f"{UNET}.to_k.weight"], wanted, rtol=1e-4, atol=1e-5)


def test_what_goes_in_stays_and_shares_what_did_not_change(
    tmp_path: Path, given: tuple[Model, Clip]
) -> None:
    model, clip = given
    model.add_wrapper_with_key("apply_model", "other", len)
    clip.clip_layer(-2)
    before = {name: tensor.clone() for name, tensor in state(model, clip).items()}
    patched, encoder = apply_lora(model, clip, saved(tmp_path / "l.safetensors", kohya()), 1.0, 1.0)
    assert all(torch.equal(before[k], v) for k, v in state(model, clip).items())
    old, new = state(model, clip), state(patched, encoder)
    assert sum(old[k].data_ptr() != new[k].data_ptr() for k in old) == 3
    assert patched.get_wrappers("apply_model", "other") == [len]
    assert encoder.layer == -2


def test_strength_zero_leaves_its_side_out(tmp_path: Path, given: tuple[Model, Clip]) -> None:
    path = saved(tmp_path / "l.safetensors", kohya())
    model, clip = apply_lora(*given, path, 0.0, 1.0)
    assert model is given[0]
    assert clip is not given[1]


def test_a_convolution_is_changed_as_a_whole(tmp_path: Path, given: tuple[Model, Clip]) -> None:
    name = "lora_unet_down_blocks_0_resnets_0_conv1"
    down, up = torch.randn(RANK, 8, 3, 3), torch.randn(8, RANK, 1, 1)
    tensors = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
    path = saved(tmp_path / "locon.safetensors", tensors)
    deltas = changed(state(*given), state(*apply_lora(*given, path, 1.0, 0.0)))
    wanted = torch.einsum("orxy,rikl->oikl", up, down)
    torch.testing.assert_close(
        deltas["down_blocks.0.resnets.0.conv1.weight"], wanted, atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"lora_unet_nowhere.lora_down.weight": TO_K[0],
          "lora_unet_nowhere.lora_up.weight": TO_K[1]}, "fits nothing in this model"),
        ({"lora_unet_mid.lora_down.weight": TO_K[0]}, "not whole: .lora_unet_mid. has only down"),
        ({**kohya(), "lora_unet_mid.lora_down.weight": TO_K[0],
          "lora_unet_mid.lora_up.weight": torch.zeros(8, 5)}, r"\(2, 16\) and \(8, 5\)"),
        ({"lora_unet_mid.lora_down.weight": torch.tensor(1.0),
          "lora_unet_mid.lora_up.weight": TO_K[1]}, "no change of one rank"),
        ({"lora_unet_mid.dora_scale": TO_K[0]}, "variant of LoRA"),
        ({f"unet.{UNET}.to_k.lora_A.weight": torch.zeros(2, 24),
          f"unet.{UNET}.to_k.lora_B.weight": TO_K[1]}, r"as \(8, 24\), which is \(8, 16\) here"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(
    tmp_path: Path, given: tuple[Model, Clip], tensors: dict[str, Tensor], words: str
) -> None:
    path = saved(tmp_path / "bad.safetensors", tensors)
    with pytest.raises(UserError, match=words):
        apply_lora(*given, path, 1.0, 1.0)


def test_a_part_without_a_place_is_warned_of(
    tmp_path: Path, given: tuple[Model, Clip], caplog: pytest.LogCaptureFixture
) -> None:
    extra = {"lora_unet_x.lora_down.weight": TO_K[0], "lora_unet_x.lora_up.weight": TO_K[1]}
    apply_lora(*given, saved(tmp_path / "l.safetensors", {**kohya(), **extra}), 1.0, 1.0)
    assert "1 of its weights have no place here: 'lora_unet_x'" in caplog.text


@pytest.mark.parametrize(
    "said", ["{", "[1]", '{"unet.lora_alpha": "x"}', '{"unet.use_dora": true}']
)
def test_metadata_that_says_nonsense_is_an_error(
    tmp_path: Path, given: tuple[Model, Clip], said: str
) -> None:
    path = saved(tmp_path / "l.safetensors", kohya(), {"lora_adapter_metadata": said})
    with pytest.raises(UserError, match=r"metadata|use_dora"):
        apply_lora(*given, path, 1.0, 1.0)
