"""Whatever bytes lie in a model's place: a file is accepted or refused with a sentence."""

from __future__ import annotations

import io
import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from controlstack.ground.errors import UserError
from controlstack.headless.models.inspect import check
from controlstack.headless.models.lora import read_changes
from controlstack.model_files.kinds import KINDS

SPEED = settings(max_examples=60, deadline=None, derandomize=True)
ANY_KIND = st.sampled_from(sorted(KINDS))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
# Names that the checks look for, so that mutations reach further than the header.
NAMES = (
    "model.diffusion_model.input_blocks.0.0.weight",
    "model.diffusion_model.input_blocks.1.0.out_layers.3.weight",
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
    "model.diffusion_model.input_blocks.1.1.proj_in.weight",
    "model.diffusion_model.out.2.weight",
    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
    "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight",
    "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight",
    "first_stage_model.decoder.conv_in.weight",
    "first_stage_model.decoder.conv_out.weight",
    "first_stage_model.encoder.conv_in.weight",
    "first_stage_model.encoder.down.0.block.0.conv1.weight",
    "input_hint_block.0.weight",
    "input_hint_block.12.weight",
    "controlnet_cond_embedding.conv_in.weight",
    "down_blocks.0.resnets.0.conv1.weight",
    "time_embedding.linear_1.weight",
    "lora_unet_mid.lora_up.weight",
    "lora_unet_mid.lora_down.weight",
    "lora_unet_mid.alpha",
    "decoder.layers.0.weight",
    "conv_in.weight",
    "body.0.block1.weight",
    "body.0.block2.weight",
    "body.0.in_conv.weight",
    "body.0.out_conv.weight",
)
SHAPES = st.lists(st.integers(0, 3), max_size=4)
TENSORS = st.dictionaries(st.sampled_from(NAMES), SHAPES, max_size=len(NAMES))


def refusal(path: Path, kind: str) -> str | None:
    """The sentence a file or folder is refused with; None where it is accepted."""
    try:
        check(path, kind)
        if kind == "loras" and path.is_file():
            read_changes(path)
    except UserError as error:
        return str(error)
    return None


def judged(data: bytes, kind: str, name: str = "model.safetensors") -> None:
    """Check the bytes as a file; nothing but a UserError of one line may come out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        assert "\n" not in (refusal(path, kind) or "")


def whole(shapes: dict[str, list[int]]) -> bytes:
    return bytes(save({name: torch.zeros(shape) for name, shape in shapes.items()}))


@SPEED
@given(st.binary(max_size=200), ANY_KIND)
def test_random_bytes(data: bytes, kind: str) -> None:
    judged(data, kind)


@SPEED
@given(JSON, st.binary(max_size=16), ANY_KIND)
def test_any_json_as_a_header(content: Any, data: bytes, kind: str) -> None:
    text = json.dumps(content).encode()
    judged(struct.pack("<Q", len(text)) + text + data, kind)


@SPEED
@given(TENSORS, ANY_KIND)
def test_tensors_of_any_shape_under_names_that_count(
    shapes: dict[str, list[int]], kind: str
) -> None:
    judged(whole(shapes), kind)


@SPEED
@given(TENSORS, ANY_KIND, st.integers(0, 2000), st.binary(min_size=1, max_size=9))
def test_valid_files_with_bytes_replaced(
    shapes: dict[str, list[int]], kind: str, at: int, new: bytes
) -> None:
    data = whole(shapes)
    start = at % len(data)
    judged(data[:start] + new + data[start + len(new) :], kind)


@SPEED
@given(TENSORS, ANY_KIND, st.integers(0, 5000), st.binary(max_size=9))
def test_pickles_with_bytes_replaced(
    shapes: dict[str, list[int]], kind: str, at: int, new: bytes
) -> None:
    buffer = io.BytesIO()
    torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, buffer)
    data = buffer.getvalue()
    start = at % len(data)
    judged(data[:start] + new + data[start + len(new) :], kind, "model.ckpt")


@SPEED
@given(JSON, ANY_KIND)
def test_any_json_as_the_configuration_of_a_folder(content: Any, kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("config.json", "model_index.json"):
            Path(folder, name).write_text(json.dumps(content), encoding="utf-8")
        sentence = refusal(Path(folder), kind)
        assert sentence is not None  # a folder without weights
        assert "\n" not in sentence
