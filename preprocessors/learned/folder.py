"""A folder as transformers saves one -> a network that is ready to run, and its picture processor.

Nothing is fetched and no code of a folder is run: what is missing, damaged or of another kind is
said in one sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...ground.building import of_real_size
from ...ground.errors import UserError
from ...ground.wording import first_line
from ...model_files.folders import CONFIG, check_weights, read_config, weight_files
from ..picture import Bytes
from ..spec import Weights
from .networks import load_state

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"
"""Where transformers keeps weights."""


@dataclass(frozen=True)
class Kind:
    """A kind of model in transformers' layout.

    `what` is its name in sentences ("depth model"). `classes` are transformers' classes by
    config.json's model_type. `unused` are parts of the names of tensors that published files lack
    and whose absence changes nothing.
    """

    what: str
    classes: Mapping[str, str]
    unused: tuple[str, ...] = ()


def published(
    repo: str,
    licence: str,
    megabytes: int,
    file: str = SAFETENSORS,
    commercial: bool = True,
    sha256: str = "",
) -> Weights:
    """A model in transformers' layout as its page `repo` offers it; `sha256` is that of `file`."""
    return Weights(
        name=repo.partition("/")[2],
        repo=repo,
        files=(CONFIG, "preprocessor_config.json", file),
        licence=licence,
        commercial=commercial,
        megabytes=megabytes,
        sha256={file: sha256} if sha256 else {},
    )


def check_folder(folder: Path, kind: Kind) -> dict[str, Any]:
    """The config.json of `folder`, once it is known to hold a whole model of `kind`.

    Reads configs and the heads of weight files, loads nothing. Raises UserError for what is
    missing or damaged, for an unknown model_type, and for a backbone outside the folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; a {kind.what} is one, as transformers saves it.")
    config = read_json(folder, CONFIG, kind)
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in kind.classes:
        raise UserError(
            f"{folder} holds a model of type {model_type!r}; each {kind.what} known here is one of "
            f"{', '.join(kind.classes)}."
        )
    read_json(folder, "preprocessor_config.json", kind)
    for backbone in _outside_backbones(config):
        raise UserError(
            f"{folder} names the backbone {backbone}, which transformers would download; "
            "take a model whose config.json describes its backbone."
        )
    check_weights(folder)
    return config


def read_json(folder: Path, name: str, kind: Kind) -> dict[str, Any]:
    """The JSON object in `folder / name`; UserError if it is missing or is none."""
    if not (folder / name).exists():
        raise UserError(f"{folder} has no {name}; copy the {kind.what}'s whole folder.")
    return read_config(folder / name)


def load_network(folder: Path, kind: Kind) -> nn.Module:
    """The network in `folder`: on the CPU, in eval mode, float32, without gradients.

    Raises UserError for what `check_folder` refuses, and for weights that leave gaps or do not fit
    the config.
    """
    import torch

    model_type = check_folder(folder, kind)["model_type"]
    state: dict[str, Tensor] = {}
    for path in weight_files(folder):
        state.update(load_state(path))
    # What files lack is drawn at random first; the random state is the host's.
    with (
        _loading(folder, kind) as transformers,
        torch.random.fork_rng(devices=()),
        of_real_size(folder),
    ):
        network_class = getattr(transformers, kind.classes[model_type])
        config = network_class.config_class.from_pretrained(folder, local_files_only=True)
        network, report = network_class.from_pretrained(
            None,
            config=config,
            state_dict=state,
            ignore_mismatched_sizes=True,  # said below, where transformers would only log it
            output_loading_info=True,
        )
    _check_report(report, folder, kind)
    loaded: nn.Module = network.float().eval().requires_grad_(False)
    return loaded


def load_processor(folder: Path, kind: Kind) -> Any:
    """What makes the network's input from a picture, as preprocessor_config.json describes it.

    Raises UserError where transformers cannot make it.
    """
    with _loading(folder, kind) as transformers:
        return transformers.AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )


def pixels(processor: Any, picture: Bytes, device: torch.device, **more: Any) -> Tensor:
    """The network's input that `processor`, told `more`, makes of `picture` (uint8 RGB, H x W x
    3)."""
    inputs = processor(
        images=picture, return_tensors="pt", input_data_format="channels_last", **more
    )
    found: Tensor = inputs["pixel_values"].to(device)
    return found


def _check_report(report: Mapping[str, Any], folder: Path, kind: Kind) -> None:
    """Raise UserError unless every tensor of a network was filled."""
    for name, found, wanted in sorted(report["mismatched_keys"], key=lambda entry: str(entry[0])):
        raise UserError(
            f"The weights in {folder} do not fit its config.json: {name} is {list(found)} and has "
            f"to be {list(wanted)}; download the folder again."
        )
    missing = [
        name for name in report["missing_keys"] if not any(part in name for part in kind.unused)
    ]
    if missing:
        raise UserError(
            f"The weights in {folder} lack {len(missing)} of the model's tensors, "
            f"among them {min(missing)}; download the folder again."
        )


def _outside_backbones(config: Mapping[str, Any]) -> Iterator[str]:
    """The backbones that a config, or one nested in it, asks for by a name on the hub."""
    if isinstance(config.get("backbone"), str):
        yield config["backbone"]
    for value in config.values():
        if isinstance(value, Mapping):
            yield from _outside_backbones(value)


@contextmanager
def _loading(folder: Path, kind: Kind) -> Iterator[Any]:
    """The library transformers, quiet, its errors turned into sentences about `folder`.

    No tables of weights and no bars are printed; the settings found come back after.
    """
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            f"A {kind.what} needs transformers, which cannot be imported here "
            f"({first_line(error)}); install it into the Python that runs this: "
            "python -m pip install transformers"
        ) from error
    library: Any = transformers  # partly typed
    logging = library.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield library
    except UserError:
        raise
    except Exception as error:  # a config can make the library raise anything
        raise UserError(
            f"{folder} cannot be loaded as a {kind.what}: {first_line(error)}"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
