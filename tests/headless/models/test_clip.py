"""CLIP: weights move away from the empty prompt, chunks are joined, layers are skipped."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.headless.models.clip import Clip
from controlstack.headless.models.tokenizers import openai
from tests.tiny import tiny_clip

TOKENIZER, ENCODER = tiny_clip()


@pytest.fixture
def clip() -> Clip:
    return Clip(ENCODER, TOKENIZER)


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
