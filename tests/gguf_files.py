"""GGUF files of a U-Net, laid out as ComfyUI-GGUF's tools write them (its tools/convert.py, then
llama-quantize): single numbers and vectors whole, the rest in rows of 256 where its own do not
divide, with the shape that it had as `comfy.gguf.orig_shape.NAME`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

PREFIX = "model.diffusion_model."
ROW = 256  # numbers in the longest block there is
WHOLE = 1024  # tensors of no more numbers stay float32
WRITTEN = ("F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0")
"""Kinds that the library quantises to."""
# Kinds that it only reads: where in a block the half of its factor lies, and of its offset, which
# is taken as so many factors that numbers have no mean.
DRAWN: dict[str, tuple[int, int, float]] = {
    "Q2_K": (80, 82, 1.5),
    "Q3_K": (108, -1, 0.0),
    "Q4_K": (0, 2, 7.5),
    "Q5_K": (0, 2, 15.5),
    "Q6_K": (208, -1, 0.0),
    "IQ4_NL": (0, -1, 0.0),
    "IQ4_XS": (0, -1, 0.0),
}
KINDS = (*WRITTEN, *DRAWN)


def write_unet(
    path: Path, weights: Mapping[str, Tensor], kind: str, architecture: str = "sd1"
) -> Path:
    """The U-Net among `weights`, in CompVis' names, with its matrices and kernels as `kind`, one of
    `KINDS`; returns `path`. Those of `DRAWN` have random numbers as large as the ones given.
    """
    import gguf

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    inside = {name: value for name, value in weights.items() if name.startswith(PREFIX)} or weights
    for name, value in inside.items():
        bare, numbers = name.removeprefix(PREFIX), value.float().numpy()
        if numbers.ndim > 1 and not numbers.size % ROW and numbers.shape[-1] % ROW:
            writer.add_array(f"comfy.gguf.orig_shape.{bare}", list(numbers.shape))
            numbers = numbers.reshape(-1, ROW)
        data, how = packed(numbers, kind)
        writer.add_tensor(bare, data, raw_dtype=how)
    return finished(writer, path)


def finished(writer: Any, path: Path) -> Path:
    """Write what a `gguf.GGUFWriter` was given into its file at `path`."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def packed(numbers: Any, kind: str) -> tuple[Any, Any]:
    """A tensor's numbers as a file has them, and of which of the library's kinds they are."""
    import gguf

    how = gguf.GGMLQuantizationType[kind]
    if numbers.ndim < 2 or numbers.size <= WHOLE:
        return numbers.astype(np.float32), gguf.GGMLQuantizationType.F32
    if numbers.shape[-1] % gguf.GGML_QUANT_SIZES[how][0]:
        return numbers.astype(np.float16), gguf.GGMLQuantizationType.F16
    return (blocks(numbers, kind) if kind in DRAWN else gguf.quants.quantize(numbers, how)), how


def blocks(numbers: Any, kind: str) -> Any:
    """Random blocks of a kind of `DRAWN` for an array (..., C) of that spread."""
    import gguf

    how = gguf.GGMLQuantizationType[kind]
    length, size = gguf.GGML_QUANT_SIZES[how]
    factor, offset, factors = DRAWN[kind]
    made = np.random.default_rng(numbers.size).integers(
        0, 256, (numbers.size // length, size), dtype=np.uint8
    )

    def scaled(by: float) -> Any:
        for place, value in ((factor, by), (offset, by * factors)):
            if place >= 0:
                made[:, place : place + 2] = np.frombuffer(np.float16(value).tobytes(), np.uint8)
        return gguf.quants.dequantize(made, how)

    scaled(float(numbers.std() / scaled(1.0).std()))
    return made.reshape(*numbers.shape[:-1], numbers.shape[-1] // length * size)


def read_as_the_library_does(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file that `write_unet` wrote, as float32 in its own shape."""
    import gguf

    reader = gguf.GGUFReader(path)
    found: dict[str, Tensor] = {}
    for one in reader.tensors:
        told = reader.get_field(f"comfy.gguf.orig_shape.{one.name}")
        shape = tuple(one.shape.tolist()[::-1]) if told is None else tuple(told.contents())
        numbers = gguf.quants.dequantize(np.array(one.data), one.tensor_type)
        assert numbers.size == math.prod(shape)
        found[one.name] = torch.from_numpy(numbers.reshape(shape).copy())
    return found
