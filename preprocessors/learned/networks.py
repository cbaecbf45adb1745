"""Networks of controlnet-aux: declared by entries, built without a trace, filled from files."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ...ground.errors import UserError
from ...ground.wording import first_line
from ..spec import Annotator, Hint, Learning, Weights
from .tensors import Networks

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..pose.people import Pose

ANNOTATORS = "lllyasviel/Annotators"
"""The repository on Hugging Face that holds most annotators of ControlNet 1.1."""


@dataclass(frozen=True)
class Network:
    """A network of controlnet-aux: `build` makes it, given the library's `module`.

    `what` names it in sentences; `sign` is a name that, of all files known here, only its own have.
    """

    what: str
    sign: str
    module: str
    build: Callable[[Any], nn.Module]

    def load(self, path: Path) -> nn.Module:
        """The network with the weights in `path`. Raises UserError for another file."""
        from ...model_files.filling import fill

        module = annotators(self.module)
        network, state = blank(lambda: self.build(module)), load_state(path)
        # OpenPose's files name the layers, and not the block of each.
        names = network.state_dict().keys()
        blocks = {name.partition(".")[2]: name for name in names - state.keys()}
        named = {blocks.get(name, name): value for name, value in state.items()}
        return fill(network, named, path, self.what, seems(state))


def learned(
    who: str,
    draw: Callable[..., Hint | Pose],
    weights: Weights,
    *networks: Network,
    finds_people: bool = False,
    resolution: int = 0,
) -> Learning:
    """The learning of a preprocessor whose `networks` lie in a file each, in the order of
    `weights`: `draw` is given the picture, the device, the networks and the settings by name.

    `who` names it in sentences; `resolution` is `Learning.resolution`.
    """

    def load(paths: Sequence[Path]) -> Annotator:
        loaded = [network.load(path) for network, path in zip(networks, paths, strict=True)]
        return Networks(who, loaded, draw)

    files = [PurePosixPath(file).name for file in weights.files]
    signs = tuple((one.sign, one.what, file) for one, file in zip(networks, files, strict=True))
    return Learning(
        (weights,),
        load,
        any_size=True,
        resolution=resolution,
        finds_people=finds_people,
        signs=signs,
    )


def published_files(
    name: str,
    files: Mapping[str, str],
    licence: str,
    megabytes: int,
    repo: str = ANNOTATORS,
    commercial: bool = True,
) -> Weights:
    """Weights that are `files` of the page `repo`, each with its published sha256."""
    return Weights(name, repo, tuple(files), licence, commercial, megabytes, files)


def load_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of weights by name, on the CPU, in the file's own number type.

    Safetensors, or a pickle of torch that holds tensors and nothing that runs: the content decides,
    not the file's name. What a training run wrapped around the names goes: an outer "state_dict" or
    "model", and the prefix "module.". Raises UserError for any other file.
    """
    from ...model_files.files import read_tensors

    found = read_tensors(path, wrappers=("state_dict", "model"))
    state = {name.removeprefix("module."): value for name, value in found}
    if not state:
        raise UserError(f"{path} holds no tensors by name, so it is no file of weights.")
    return state


def seems(names: Collection[str]) -> str:
    """What a file with tensors of these names holds; "" where nothing is known by them."""
    from ...model_files.kinds import kind_of
    from ..registry import LEARNED

    found: dict[str, dict[str, None]] = {}
    for entry in LEARNED:
        assert entry.learning is not None
        for sign, what, file in entry.learning.signs:
            if sign in names:
                found.setdefault(what, {})[file] = None
    if found:
        return " or ".join(f"{what} ({' or '.join(files)})" for what, files in found.items())
    kind = kind_of(names)
    return kind.words if kind else ""


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
            f"This hint needs controlnet-aux, which cannot be imported here ({first_line(error)});"
            " install it into the Python that runs this: python -m pip install controlnet-aux"
        ) from error


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
