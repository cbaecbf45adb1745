"""What is in a model file, read without its weights: names, types and shapes of its tensors."""

from __future__ import annotations

import math
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..ground.errors import UserError
from ..ground.reading import require_regular
from ..ground.structured import read_json

SAFETENSORS_SUFFIXES = (".safetensors", ".sft")
MAX_HEADER = 100_000_000  # the limit of the safetensors library itself, in bytes
_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "I16": 2, "U16": 2,
    "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8,
}  # fmt: skip
_STRANGERS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself: run `git lfs pull`",
    b"<": "is a web page, not a model: the download failed, so fetch it again",
    b"{": "is JSON, not a model: name the .safetensors file beside it",
    b"GGUF": "is a GGUF file, which ControlStack does not read: use a .safetensors file",
    b"\x89PNG": "is a picture, not a model",
}

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Contents:
    """The tensors of one file by name, and the free text the file says of itself."""

    shapes: Mapping[str, Shape]
    metadata: Mapping[str, str]


def read_contents(path: Path) -> Contents:
    """Read the header of a safetensors file, or the skeleton of a pickle that torch calls safe.

    Raises UserError where the file is missing, empty, cut off, something else, or a pickle that
    holds code; nothing in the file is run and no weight is loaded.
    """
    start, size = _beginning(path)
    if size == 0:
        raise UserError(f"{path} is empty (0 bytes): fetch it again.")
    if _begins_pickle(start):
        return Contents(_pickle_shapes(path), {})
    # A safetensors header begins after eight bytes of length, so a known beginning is another file.
    for beginning, words in _STRANGERS.items():
        if start.startswith(beginning) and start[8:9] != b"{":
            raise UserError(f"{path} {words}.")
    return _safetensors(path, size)


def is_pickle(path: Path) -> bool:
    """Whether the file is torch's zip of a pickle, or a bare pickle; UserError if unreadable."""
    return _begins_pickle(_beginning(path)[0])


def _beginning(path: Path) -> tuple[bytes, int]:
    """The first bytes of a file and its size."""
    require_regular(path, "the model")
    try:
        with path.open("rb") as file:
            return file.read(64), path.stat().st_size
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error


def _begins_pickle(start: bytes) -> bool:
    return start.startswith(
        (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    ) and (start[8:9] != b"{")


def load_pickle(path: Path, map_location: str) -> dict[str, torch.Tensor]:
    """The tensors of a pickle that torch loads with `weights_only`; UserError for any other.

    Dictionaries inside it (IP-Adapters, textual inversions) give dotted names: `ip_adapter.x`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols, which change nothing
            loaded = _load(path, map_location)
    except Exception as error:  # torch and pickle raise nearly every class there is
        raise UserError(
            f"{path} is a pickle that does not load as plain weights, so it could run code and is "
            "refused: open it where you trust it and save it again as .safetensors."
        ) from error
    if not isinstance(loaded, dict):
        raise UserError(f"{path} holds a {type(loaded).__name__}, not weights by name.")
    inner = loaded.get("state_dict", next(iter(loaded.values())) if len(loaded) == 1 else None)
    named = dict(_named(inner if isinstance(inner, dict) else loaded))
    return {name: value for name, value in named.items() if isinstance(value, torch.Tensor)}


def _load(path: Path, map_location: str) -> Any:
    if path.suffix.lower() in SAFETENSORS_SUFFIXES:
        with path.open("rb") as file:  # given the path, torch would go by this name
            return torch.load(file, weights_only=True, map_location=map_location)
    mapped = zipfile.is_zipfile(path)
    return torch.load(path, weights_only=True, map_location=map_location, mmap=mapped)


def _named(tree: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        # One level: a pickle may hold itself.
        inside = value.items() if isinstance(value, dict) else ()
        yield from ((f"{key}.{name}", part) for name, part in inside)
        yield str(key), value


def _pickle_shapes(path: Path) -> dict[str, Shape]:
    tensors = load_pickle(path, map_location="meta")
    return {key: tuple(value.shape) for key, value in tensors.items()}


def _safetensors(path: Path, size: int) -> Contents:
    """Check a header as the library does, but with both sizes in the sentence."""
    if size < 8:
        raise UserError(
            f"{path} is cut off: {size} bytes are too few for any model; fetch it again."
        )
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(MAX_HEADER, size - 8):
            raise UserError(
                f"{path} is no safetensors file, or cut off: it announces a header of {length} "
                f"bytes and has {size} in all; fetch it again."
            )
        raw = file.read(length)
    try:
        header: Any = read_json(raw.decode("utf-8"), str(path), "header")
        entries = {name: _entry(entry) for name, entry in header.items() if name != "__metadata__"}
        said = header.get("__metadata__") or {}
        metadata = {str(key): str(value) for key, value in said.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path} is no safetensors file: its header is damaged; fetch it again."
        ) from error
    announced = 8 + length + max((end for _, end in entries.values()), default=0)
    if announced != size:
        cut = "is cut off" if size < announced else "is damaged"
        raise UserError(
            f"{path} {cut}: its header announces {announced} bytes and it has {size}; "
            "fetch it again."
        )
    return Contents({name: shape for name, (shape, _) in entries.items()}, metadata)


def _entry(entry: Mapping[str, Any]) -> tuple[Shape, int]:
    """The shape of one tensor and where it ends; raises where its numbers contradict each other."""
    shape = tuple(entry["shape"])
    start, end = entry["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (*shape, start, end)):
        raise ValueError("sizes are whole numbers")
    width = _BYTES.get(entry["dtype"])
    if width is not None and math.prod(shape) * width != end - start:
        raise ValueError("a tensor is longer or shorter than its shape")
    return shape, end
