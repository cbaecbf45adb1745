"""CLIP: weights move away from the empty prompt, chunks are joined, layers are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless import folders
from controlstack.headless.models.clip import Clip
from controlstack.headless.models.embeddings import Asked, split
from controlstack.headless.models.text_encoder import TextEncoder
from controlstack.headless.models.tokenizers import openai
from tests.tiny import tiny_clip

TOKENIZER, ENCODER = tiny_clip()


@pytest.fixture
def clip() -> Clip:
    return Clip(TextEncoder(ENCODER, TOKENIZER))


def encoded(clip: Clip, text: str) -> Tensor:
    ((tensor, options),) = clip.encode(text)
    assert options["pooled_output"].shape == (1, 16)
    assert isinstance(tensor, Tensor)
    return tensor


def hidden(text: str) -> Any:
    rows = TOKENIZER(text, padding="max_length", max_length=77, return_tensors="pt").input_ids
    return ENCODER(rows, output_hidden_states=True)


def norm(states: Tensor) -> Tensor:
    encoder = getattr(ENCODER, "text_model", ENCODER)
    normed: Tensor = encoder.final_layer_norm(states)
    return normed


def test_a_plain_prompt_is_the_last_hidden_state(clip: Clip) -> None:
    assert torch.equal(encoded(clip, "a cat"), hidden("a cat").last_hidden_state)


def test_the_pooled_output_is_where_the_prompt_ends(clip: Clip) -> None:
    end = len(TOKENIZER("a cat").input_ids) - 1
    pooled = clip.encode("a cat")[0][1]["pooled_output"]
    assert torch.equal(pooled, hidden("a cat").last_hidden_state[:, end])


def test_weights_scale_the_way_from_the_empty_prompt(clip: Clip) -> None:
    plain, empty = encoded(clip, "a cat"), encoded(clip, "")
    weighted = encoded(clip, "a (cat:1.5)")
    head = len(TOKENIZER("a").input_ids) - 1  # start and "a"
    tail = len(TOKENIZER("a cat").input_ids) - 1
    moved = (plain - empty) * 1.5 + empty
    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(weighted[:, :head], plain[:, :head], **close)
    torch.testing.assert_close(weighted[:, head:tail], moved[:, head:tail], **close)
    torch.testing.assert_close(weighted[:, tail:], plain[:, tail:], **close)


def test_long_prompts_are_encoded_chunk_by_chunk(clip: Clip) -> None:
    long = encoded(clip, "a" * 100)  # one group, torn after 75 letters
    assert long.shape == (1, 154, 16)
    whole = encoded(clip, "a" * 75)  # its last letter is another token: it ends the word
    torch.testing.assert_close(long[:, :75], whole[:, :75], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("layer", "state"), [(-1, 3), (-2, 2), (-3, 1), (-4, 3), (-24, 3)])
def test_clip_skip_takes_an_earlier_layer_through_the_last_norm(
    clip: Clip, layer: int, state: int
) -> None:
    other = clip.clone()
    other.clip_layer(layer)
    wanted = norm(hidden("a cat").hidden_states[state])
    torch.testing.assert_close(encoded(other, "a cat"), wanted, rtol=1e-5, atol=1e-5)
    assert clip.layer is None


def test_the_pooled_output_is_the_last_layers_also_with_clip_skip(clip: Clip) -> None:
    before = clip.encode("a cat")[0][1]["pooled_output"]
    clip.clip_layer(-2)
    assert torch.equal(clip.encode("a cat")[0][1]["pooled_output"], before)


def test_the_shipped_vocabulary_is_openais() -> None:
    tokenizer = openai()
    assert len(tokenizer) == 49408
    # Token ids as https://github.com/openai/CLIP gives them.
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 49407


@pytest.fixture
def inversions(tmp_path: Path) -> Iterator[Path]:
    """Files of the vectors that the encoder has for "cat", in each layout; their folder."""
    folder = tmp_path / "models" / "embeddings"
    (folder / "more").mkdir(parents=True)
    (ids,) = TOKENIZER("cat", add_special_tokens=False, return_tensors="pt").input_ids
    vectors = ENCODER.get_input_embeddings().weight.detach()[ids]
    save_file({"emb_params": vectors}, folder / "own.safetensors")
    save_file({"clip_g": torch.zeros(2, 5), "clip_l": vectors}, folder / "more" / "two.safetensors")
    web_ui = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "x"}
    torch.save(web_ui, folder / "web.pt")
    torch.save({"<x>": vectors}, folder / "diffusers.bin")
    save_file({"emb_params": torch.zeros(2, 5)}, folder / "wide.safetensors")
    (folder / "broken.safetensors").write_bytes(b"no weights")
    places = folders.Folders((tmp_path / "models",), (tmp_path,), tmp_path, tmp_path)
    with folders.use(places):
        yield folder


@pytest.mark.parametrize(
    "name", ["own", "own.safetensors", "two", "more/two", "web", "web.pt", "diffusers"]
)
def test_a_textual_inversion_is_its_vectors(name: str, clip: Clip, inversions: Path) -> None:
    """Also behind the comma, in parentheses, and at the beginning."""
    for written, meant in (
        ("a {}", "a cat"),
        ("{}, a dog", "cat, a dog"),
        ("a ({}:1.3), a (dog:0.8)", "a (cat:1.3), a (dog:0.8)"),
        ("a dog {}<lora:x:1>", "a dog cat<lora:x:1>"),
    ):
        asked = written.format(f"embedding:{name}")
        torch.testing.assert_close(encoded(clip, asked), encoded(clip, meant))


@pytest.mark.parametrize("name", ["missing", "wide"])
def test_a_textual_inversion_that_is_not_there_is_left_out(
    name: str, clip: Clip, inversions: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with_word = encoded(clip, f"a dog embedding:{name}")
    assert torch.equal(with_word, encoded(clip, "a dog"))
    assert "is left out" in caplog.text


def test_a_damaged_or_outlying_textual_inversion_is_said(clip: Clip, inversions: Path) -> None:
    with pytest.raises(UserError, match="broken"):
        clip.encode("embedding:broken")
    with pytest.raises(UserError, match="textual inversion"):
        clip.encode("embedding:../../x")


def test_which_words_ask_for_a_file() -> None:
    assert list(split("embedding:a b")) == [Asked("a"), "b"]
    assert list(split("xembedding:a b")) == ["xembedding:a b"]
    assert list(split("x embedding:a embedding:b")) == ["x ", Asked("a"), Asked("b")]
