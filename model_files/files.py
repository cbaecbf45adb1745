"""The one reader of files of weights: the names and shapes in one, and its tensors.

No code in a file is ever run: safetensors and GGUF hold none, and a pickle is read with
`weights_only`.
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..ground.errors import UserError
from ..ground.reading import require_regular
from ..ground.wording import first_line
from . import gguf_files

if TYPE_CHECKING:
    from torch import Tensor

SAFETENSORS_SUFFIXES = (".safetensors", ".sft")
_STRANGERS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: run `git lfs pull`, or "
    "fetch it again",
    b"<": "a web page, not a model: the download failed, so fetch it again",
    b"{": "JSON, not a model: name the .safetensors file beside it",
    b"\x89PNG": "no file of weights, but a picture: fetch it again",
}
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_TRUST = "open it where you trust it and save it again as .safetensors"

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Contents:
    """The tensors of one file by name, and the free text the file says of itself."""

    shapes: Mapping[str, Shape]
    metadata: Mapping[str, str]


def read_contents(path: Path) -> Contents:
    """Read the header of a safetensors or GGUF file, or the skeleton of a pickle that torch calls
    safe.

    Raises UserError where the file is missing, empty, cut off, something else, or a pickle that
    holds code; nothing in the file is run and no weight is loaded.
    """
    if is_gguf(path):
        return Contents(*gguf_files.read_header(path))
    if is_pickle(path):
        tensors = _load_pickle(path, "meta", ("state_dict",))
        return Contents({key: tuple(value.shape) for key, value in tensors.items()}, {})
    opened = _safetensors(path)
    shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118 - no mapping
    return Contents(shapes, opened.metadata() or {})


def read_tensors(
    path: Path,
    keep: Callable[[str], bool] = lambda name: True,
    wrappers: Sequence[str] = ("state_dict",),
) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a file whose names `keep` accepts, on the CPU, in their own type.

    One after the other, so that none needs to stay. `wrappers` are names under which a pickle may
    hold its tensors; other dictionaries inside it (IP-Adapters, textual inversions) give dotted
    names: `ip_adapter.x`. What a GGUF file has packed is float32. Raises UserError as
    `read_contents` does.
    """
    if is_gguf(path):
        for name, value in gguf_files.read_packed(path, keep):
            yield name, value.whole() if isinstance(value, gguf_files.Packed) else value
        return
    if is_pickle(path):
        tensors = _load_pickle(path, "cpu", wrappers)
        yield from ((name, value) for name, value in tensors.items() if keep(name))
        return
    opened = _safetensors(path)
    yield from ((name, opened.get_tensor(name)) for name in opened.keys() if keep(name))  # noqa: SIM118 - no mapping


def is_gguf(path: Path) -> bool:
    """Whether the content is GGUF. Raises UserError as `is_pickle` does."""
    return _beginning(path).startswith(gguf_files.MAGIC)


def is_pickle(path: Path) -> bool:
    """Whether the content is torch's zip of a pickle or a bare pickle, and no safetensors.

    Raises UserError for a file that cannot be read or is plainly something else.
    """
    return _beginning(path).startswith(_PICKLES)


def _beginning(path: Path) -> bytes:
    """The first bytes of a file; none of a safetensors file, which begins with any."""
    require_regular(path, "the model")
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not start:
        raise UserError(f"{path} is empty (0 bytes); fetch it again.")
    # A safetensors header begins after eight bytes of length, so a known beginning is another file;
    # that of GGUF would be a length of gigabytes.
    if start[8:9] == b"{" and not start.startswith(gguf_files.MAGIC):
        return b""
    for beginning, words in _STRANGERS.items():
        if start.startswith(beginning):
            raise UserError(f"{path} is {words}.")
    return start


def _load_pickle(path: Path, device: str, wrappers: Sequence[str]) -> dict[str, Tensor]:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols, which change nothing
            loaded = _unpickled(path, device)
    except Exception as error:  # torch and pickle raise nearly every class there is
        raise UserError(f"{path} {_refused(error)}.") from error
    if not isinstance(loaded, dict):
        raise UserError(
            f"{path} holds no tensors by name: it holds a {type(loaded).__name__}, not weights."
        )
    inner = next((loaded[name] for name in wrappers if isinstance(loaded.get(name), dict)), None)
    if inner is None and len(loaded) == 1:
        inner = next(iter(loaded.values()))
    named = _named(inner if isinstance(inner, dict) else loaded)
    return {name: value for name, value in named if isinstance(value, torch.Tensor)}


def _unpickled(path: Path, device: str) -> Any:
    import torch

    if path.suffix.lower() in SAFETENSORS_SUFFIXES:
        with path.open("rb") as file:  # given the path, torch would go by this name
            return torch.load(file, weights_only=True, map_location=device)
    mapped = zipfile.is_zipfile(path)
    return torch.load(path, weights_only=True, map_location=device, mmap=mapped)


def _refused(error: Exception) -> str:
    """Why torch would not load a pickle, and what to do."""
    if "TorchScript" in str(error):
        return "is a TorchScript program, and code in files is never run; fetch the weights alone"
    if not isinstance(error, pickle.UnpicklingError):
        return (
            "is cut off or damaged: it does not load as plain weights, so it is refused; fetch it "
            "again"
        )
    if code := re.search(r"GLOBAL (\S+)", str(error)):
        what = f"is a pickle with more than weights in it ({code[1]})"
        return f"{what}, so it could run code and is refused: {_TRUST}"
    return (
        "is no file of weights, but a pickle that does not load as plain weights, so it could run "
        f"code and is refused: {_TRUST}, or fetch it again"
    )


def _named(tree: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        # One level: a pickle may hold itself.
        inside = value.items() if isinstance(value, dict) else ()
        yield from ((f"{key}.{name}", part) for name, part in inside)
        yield str(key), value


def _safetensors(path: Path) -> Any:
    """The file opened by the library, which checks its header."""
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} {_damage(path, error)}; fetch it again.") from error


def _damage(path: Path, error: Exception) -> str:
    """What is wrong with a safetensors file: what the library says, and both sizes."""
    size = path.stat().st_size
    if size < 8:
        return f"is cut off: {size} bytes are too few for any model"
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > size - 8:
            return (
                f"is no safetensors file, or cut off: it announces a header of {length} bytes and "
                f"has {size} in all"
            )
        if "incomplete" not in str(error).lower():  # the library has read all there is
            return f"is no file of weights: its header is damaged ({first_line(error)})"
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    announced = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    cut = "is cut off" if size < announced else "is damaged"
    return f"{cut}: its header announces {announced} bytes and it has {size}"
