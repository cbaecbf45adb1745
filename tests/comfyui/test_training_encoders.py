"""ComfyUI's CLIP and VAE as a run's encoders, beside its own nodes and beside the embedded host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.training_base import load_base
from controlstack.hosts.comfy import host
from controlstack.training.base import Base
from tests.comfyui import small
from tests.comfyui.models import Shelf
from tests.sd15_files import write_checkpoint, write_lora

PROMPTS = ("", "a red ball beside a house (blue)", "many words " * 60)
WITHOUT_PARENTHESES = "a red ball beside a house"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = write_checkpoint(tmp_path_factory.mktemp("encoders") / "base.safetensors")
    yield path
    path.unlink()  # half a gigabyte


@pytest.fixture(scope="module")
def loaded(comfy: ModuleType, checkpoint: Path) -> tuple[Any, Any, Any]:
    with torch.inference_mode():
        model, clip, vae, _ = comfy.sd.load_checkpoint_guess_config(str(checkpoint))
    return model, clip, vae


def taken(loaded: tuple[Any, Any, Any]) -> Base:
    with torch.inference_mode():
        return host.ComfyHost().training_base(*loaded)


@pytest.fixture(scope="module")
def base(loaded: tuple[Any, Any, Any]) -> Base:
    return taken(loaded)


@pytest.fixture(scope="module")
def embedded(checkpoint: Path) -> Base:
    return load_base(checkpoint)


def pictures(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 64, 48, generator=torch.Generator().manual_seed(2)) * 2 - 1


def conditioning(clip: Any, text: str) -> Tensor:
    """As the node CLIPTextEncode has it."""
    with torch.inference_mode():
        encoded: Tensor = clip.encode_from_tokens_scheduled(clip.tokenize(text))[0][0]
    return encoded


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def test_words_are_the_conditioning_of_plain_prompts(
    loaded: tuple[Any, Any, Any], base: Base
) -> None:
    assert base.encoders is not None
    texts = ("", WITHOUT_PARENTHESES, PROMPTS[2])
    words = base.encoders.words(texts)
    assert words.shape == (3, 77, 768)
    assert not words.is_inference()
    for row, text in zip(words, texts, strict=True):
        assert relative(row, conditioning(loaded[1], text)[0, :77]) < 1e-5


def test_parentheses_are_text(loaded: tuple[Any, Any, Any], base: Base) -> None:
    assert base.encoders is not None
    (words,) = base.encoders.words([r"a (red:1.4) ball"])
    assert relative(words, conditioning(loaded[1], r"a \(red:1.4\) ball")[0]) < 1e-5


def test_the_layer_of_the_clip_is_respected(loaded: tuple[Any, Any, Any], base: Base) -> None:
    model, clip, vae = loaded
    skipping = clip.clone()
    skipping.clip_layer(-2)
    other = taken((model, skipping, vae))
    assert base.encoders is not None
    assert other.encoders is not None
    (words,) = other.encoders.words([WITHOUT_PARENTHESES])
    assert relative(words, conditioning(skipping, WITHOUT_PARENTHESES)[0]) < 1e-5
    assert other.encoders.fingerprint != base.encoders.fingerprint


def test_both_hosts_give_one_base(base: Base, embedded: Base) -> None:
    """The U-Net in every bit, since both convert the file's own halves; the rest to rounding."""
    mine, theirs = base.unet.state_dict(), embedded.unet.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    assert dict(base.unet.config) == dict(embedded.unet.config)
    torch.testing.assert_close(base.alphas, embedded.alphas, rtol=1e-5, atol=1e-7)
    assert base.prediction == embedded.prediction
    assert base.encoders is not None
    assert embedded.encoders is not None
    assert relative(base.encoders.words(PROMPTS), embedded.encoders.words(PROMPTS)) < 1e-5
    assert base.encoders.sizes == embedded.encoders.sizes == (4, 77, 768)
    counted = base.encoders.tokens(PROMPTS)
    assert counted == embedded.encoders.tokens(PROMPTS)
    assert counted[::2] == [0, 120]
    found, wanted = base.encoders.moments(pictures()), embedded.encoders.moments(pictures())
    for moment, same in zip(found, wanted, strict=True):
        assert moment.shape == (2, 4, 8, 6)
        assert not moment.is_inference()
        assert float(same.abs().min()) > 0
        assert relative(moment, same) < 1e-5
    drawn, again = base.encoders.pictures(found[0]), embedded.encoders.pictures(found[0])
    assert drawn.shape == (2, 3, 64, 48)
    assert relative(drawn, again) < 1e-5


def test_the_fingerprint_knows_a_lora_and_not_the_moment(
    loaded: tuple[Any, Any, Any], base: Base, comfy: ModuleType, tmp_path: Path
) -> None:
    import comfy.sd
    import comfy.utils

    model, clip, vae = loaded
    change = comfy.utils.load_torch_file(str(write_lora(tmp_path / "change.safetensors")))
    _, changed = comfy.sd.load_lora_for_models(model, clip, change, 0.0, 1.0)
    with_lora = taken((model, changed, vae)).encoders
    assert with_lora is not None
    assert base.encoders is not None
    told = with_lora.fingerprint
    assert told != base.encoders.fingerprint
    # Which weights ComfyUI holds has changed since; what is told has not.
    anew = taken(loaded).encoders
    assert anew is not None
    assert anew.fingerprint == base.encoders.fingerprint


def test_a_clip_of_another_width_is_refused(loaded: tuple[Any, Any, Any]) -> None:
    _, clip, vae = loaded
    encoders = taken((small.base(small.SD2), clip, vae)).encoders
    assert encoders is not None
    with pytest.raises(UserError, match="768 wide and the base model reads 1024"):
        encoders.words([""])


def test_a_vae_of_another_family_is_refused(loaded: tuple[Any, Any, Any], shelf: Shelf) -> None:
    model, clip, _ = loaded
    encoders = taken((model, clip, shelf.vae())).encoders
    assert encoders is not None
    with pytest.raises(UserError, match="of 16 channels and the base model takes 4"):
        encoders.moments(pictures())


# SDXL: two encoders, whose second pools its text


@pytest.fixture(scope="module")
def sdxl_clip(comfy: ModuleType) -> Any:
    """ComfyUI's CLIP of SDXL of three layers each, with random weights."""
    import comfy.sdxl_clip

    few = {"num_hidden_layers": 3}
    options = {"clip_l_model_config": few, "clip_g_model_config": few, "dtype": torch.float32}
    kinds = {"clip": comfy.sdxl_clip.SDXLClipModel, "tokenizer": comfy.sdxl_clip.SDXLTokenizer}
    with torch.inference_mode():
        clip = comfy.sd.CLIP(SimpleNamespace(params={}, **kinds), model_options=options)
        small.fill(clip.cond_stage_model, 4)
    return clip


@pytest.fixture(scope="module")
def sdxl_base(loaded: tuple[Any, Any, Any], sdxl_clip: Any) -> Base:
    return taken((small.base(small.SDXL), sdxl_clip, loaded[2]))


def told(clip: Any, text: str) -> tuple[Tensor, Tensor]:
    """Words and pooled text as the node CLIPTextEncode has them."""
    import nodes

    with torch.inference_mode():
        ((words, more),) = nodes.CLIPTextEncode().encode(clip, text)[0]
    return words, more["pooled_output"]


def test_sdxl_s_words_and_pooled_texts_are_those_of_the_node(
    sdxl_clip: Any, sdxl_base: Base
) -> None:
    """Of a long prompt the first 77 tokens alone, whose pooled text is all that the node takes."""
    assert sdxl_base.encoders is not None
    assert sdxl_base.encoders.pooled_width == 1280
    texts = ("", WITHOUT_PARENTHESES, PROMPTS[2])
    found = sdxl_base.encoders.texts(texts)
    assert found.words.shape == (3, 77, 2048)
    assert found.pooled is not None
    assert found.pooled.shape == (3, 1280)
    assert not found.words.is_inference()
    assert not found.pooled.is_inference()
    for words, pooled, text in zip(found.words, found.pooled, texts, strict=True):
        wanted, wanted_pooled = told(sdxl_clip, text)
        assert wanted.shape[1] == (77 if text != PROMPTS[2] else 154)
        assert relative(words, wanted[0, :77]) < 1e-5
        assert relative(pooled, wanted_pooled[0]) < 1e-5
    assert torch.equal(sdxl_base.encoders.words(texts), found.words)
    assert relative(found.pooled[0], found.pooled[1]) > 0.1  # so that prompts are told apart
    assert relative(found.words[0], found.words[1]) > 0.1
    assert sdxl_base.encoders.tokens(texts)[::2] == [0, 120]
    assert sdxl_base.encoders.sizes == (4, 77, 2048)


def test_sdxl_s_layer_is_respected_and_its_fingerprint_knows_it(
    loaded: tuple[Any, Any, Any], sdxl_clip: Any, sdxl_base: Base
) -> None:
    skipping = sdxl_clip.clone()
    skipping.clip_layer(-1)
    other = taken((small.base(small.SDXL), skipping, loaded[2]))
    assert other.encoders is not None
    assert sdxl_base.encoders is not None
    found = other.encoders.texts([WITHOUT_PARENTHESES])
    words, pooled = told(skipping, WITHOUT_PARENTHESES)
    assert found.pooled is not None
    assert relative(found.words, words) < 1e-5
    assert relative(found.pooled, pooled) < 1e-5
    assert relative(found.words, told(sdxl_clip, WITHOUT_PARENTHESES)[0]) > 0.1
    assert other.encoders.fingerprint != sdxl_base.encoders.fingerprint


def test_a_clip_that_belongs_to_no_sdxl_is_refused(
    loaded: tuple[Any, Any, Any], sdxl_clip: Any
) -> None:
    _, clip, vae = loaded
    encoders = taken((small.base(small.SDXL), clip, vae)).encoders
    assert encoders is not None
    with pytest.raises(UserError, match="768 wide and the base model reads 2048"):
        encoders.texts([""])
    encoders = taken((small.base(), sdxl_clip, vae)).encoders
    assert encoders is not None
    with pytest.raises(UserError, match="2048 wide and the base model reads 768"):
        encoders.texts([""])
