"""A file of weights -> a network of controlnet-aux that is ready to run.

No code in a file is ever run: safetensors hold none, and a pickle is read with `weights_only`.
"""

from __future__ import annotations

import importlib
import os
import pickle
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...ground.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

ANNOTATORS = "lllyasviel/Annotators"
"""The repository on Hugging Face that holds most annotators of ControlNet 1.1."""

SIGNS = {
    "block1.convs.0.weight": "HED (ControlNetHED.pth)",
    "init_block.weight": "PiDiNet (table5_pidinet.pth)",
    "block15.conv1.0.weight": "M-LSD (mlsd_large_512_fp32.pth)",
    "model0.1.weight": "line art (sk_model.pth or sk_model2.pth)",
    "model.model.0.weight": "anime line art (netG.pth)",
    "encoder.original_model.conv_stem.weight": "BAE normals (scannet.pt)",
    "block_cat.DWconv1.weight": "TEED (7_model.pth or MTEED.pth)",
    "Mconv7_stage6_L1.weight": "OpenPose bodies (body_pose_model.pth)",
    "Mconv7_stage6.weight": "OpenPose hands or faces (hand_pose_model.pth or facenet.pth)",
    "input_hint_block.0.weight": "a ControlNet",
    "control_model.input_hint_block.0.weight": "a ControlNet",
    "controlnet_cond_embedding.conv_in.weight": "a ControlNet",
    "model.diffusion_model.input_blocks.0.0.weight": "a Stable Diffusion checkpoint",
}
"""What a file with a tensor of this name holds."""

STRANGERS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself",
    b"<": "is a web page, not the file itself",
}
"""What a failed download leaves under a file's name, by its first bytes."""

ZIP, LEGACY = b"PK\x03\x04", b"\x80\x02"
"""How torch's two formats of a pickle begin: since 1.6, and before."""


def load_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of weights by name, on the CPU, in the file's own number type.

    Safetensors, or a pickle of torch that holds tensors and nothing that runs: the content decides,
    not the file's name. What a training run wrapped around the names goes: an outer "state_dict" or
    "model", and the prefix "module.". Raises UserError for any other file.
    """
    head, size = _beginning(path)
    if size == 0:
        raise UserError(f"{path} is empty (0 bytes); fetch it again.")
    for beginning, words in STRANGERS.items():
        if head.startswith(beginning):
            raise UserError(f"{path} {words}; fetch it again.")
    loaded = _safetensors(path) if head[8:9] == b"{" else _pickle(path, head)
    state = _unwrapped(loaded)
    if not state:
        raise UserError(f"{path} holds no tensors by name, so it is no file of weights.")
    return state


def fill(module: nn.Module, state: Mapping[str, Tensor], path: Path, what: str) -> nn.Module:
    """`module` with the weights `state`, in eval mode, float32, without gradients.

    Every tensor must be there with its shape, and no other: UserError otherwise, with the first
    that is not, where `path` and `what` name the file and the network in the sentence.
    """
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    wrong = _difference(wanted, found)
    if wrong:
        raise UserError(
            f"{path} does not hold {what}{_seems(found)}: {wrong}; put the published file there."
        )
    module.load_state_dict(state, strict=True)
    return module.float().eval().requires_grad_(False)


def blank(make: Callable[[], nn.Module]) -> nn.Module:
    """The network that `make` builds, on the CPU, its weights not yet set.

    Drawing first weights costs up to half a second and moves torch's global random state, which is
    the host's; some networks also print. None of that happens here.
    """
    import torch

    with _quiet(), torch.device("meta"):
        module = make()
    return module.to_empty(device="cpu")


def annotators(submodule: str) -> Any:
    """The module `controlnet_aux.<submodule>`.

    Importing it changes the environment and warns about what ControlStack does not use; neither
    passes. Raises UserError, with what to install, where it cannot be imported.
    """
    try:
        with _quiet(), _same_environment("KMP_DUPLICATE_LIB_OK"):
            return importlib.import_module(f"controlnet_aux.{submodule}")
    except Exception as error:  # the package imports dozens of others, which raise what they like
        raise UserError(
            f"This hint needs controlnet-aux, which cannot be imported here ({_first_line(error)});"
            " install it into the Python that runs this: python -m pip install controlnet-aux"
        ) from error


def _beginning(path: Path) -> tuple[bytes, int]:
    """The first bytes of a file, and its size."""
    try:
        with path.open("rb") as file:
            return file.read(64), path.stat().st_size
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error


def _safetensors(path: Path) -> Mapping[Any, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path, device="cpu")
    except SafetensorError as error:
        raise UserError(
            f"{path} is cut off or damaged ({_first_line(error)}); fetch it again."
        ) from error
    return tensors


def _pickle(path: Path, head: bytes) -> Any:
    import torch

    if not head.startswith((ZIP, LEGACY)):
        raise UserError(
            f"{path} is no file of weights: it is neither safetensors nor a pickle of torch; "
            "fetch it again."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with path.open("rb") as file:  # given a path, torch would go by its suffix
                return torch.load(file, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} {_refused(str(error))}") from error
    except Exception as error:  # a damaged pickle can raise nearly every class there is
        if "TorchScript" in str(error):
            raise UserError(
                f"{path} is a TorchScript program, and code in files is never run; fetch the "
                "weights alone."
            ) from error
        raise UserError(f"{path} is cut off or damaged; fetch it again.") from error


def _refused(message: str) -> str:
    """Why torch would not unpickle a file, and what to do."""
    code = re.search(r"GLOBAL (\S+)", message)
    if code:
        return (
            f"is a pickle with more than weights in it ({code[1]}), so it could run code and is "
            "refused; save its tensors as .safetensors where you trust it."
        )
    return "is a pickle that torch cannot read as weights; fetch it again."


def _unwrapped(loaded: Any) -> dict[str, Tensor]:
    from torch import Tensor

    if not isinstance(loaded, Mapping):
        return {}
    for wrapper in ("state_dict", "model"):
        if isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
            break
    return {
        str(name).removeprefix("module."): value
        for name, value in loaded.items()
        if isinstance(value, Tensor)
    }


def _difference(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> str:
    """What is first wrong with the tensors found, or nothing."""
    parts = []
    # Counters of training steps, which older files lack.
    missing = [k for k in wanted if k not in found and not k.endswith("num_batches_tracked")]
    if missing:
        parts.append(f"{missing[0]} is missing")
    strange = [name for name in found if name not in wanted]
    if strange:
        parts.append(f"{strange[0]} {_size(found[strange[0]])} does not belong to it")
    other = [name for name in wanted if name in found and wanted[name] != found[name]]
    if other and not parts:
        name = other[0]
        parts.append(f"{name} is {_size(found[name])} and has to be {_size(wanted[name])}")
    return ", ".join(parts)


def _size(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(str(side) for side in shape) + "]"


def _seems(names: Mapping[str, Any]) -> str:
    return next((f", it seems to be {what}" for sign, what in SIGNS.items() if sign in names), "")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _same_environment(name: str) -> Iterator[None]:
    before = os.environ.get(name)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
