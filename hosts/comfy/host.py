"""ComfyUI's answers to what a node may ask: its own folders, loader, memory and progress.

Imported where ComfyUI runs; each of its modules is imported when it is first needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import torch

from ...ground.errors import UserError
from ...ground.names import inner_name
from ...ground.progress import Steps
from ...model_files.files import SAFETENSORS_SUFFIXES, is_gguf, is_pickle, read_contents
from ...model_files.kinds import CONTROLNET, MODEL_PATCHES, kind_of
from ...model_patch.patch_net import PatchNet
from ...model_patch.protocols import ControlNet
from ..host import CONTROL_FOLDERS, HINT_WEIGHTS, PREVIEW

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from ...training.base import Base


SHOWN = 16
"""Pictures of a batch that are shown on a node: a film has hundreds, and each is a file."""


class ComfyHost:
    """`hosts.host.Host`: ComfyUI's own folders and loader."""

    def names(self, kind: str) -> list[str]:
        import folder_paths

        known = kind in folder_paths.folder_names_and_paths
        return list(folder_paths.get_filename_list(kind)) if known else []

    def find(self, kind: str, name: str) -> Path:
        return _find((kind,), name)[1]

    def check_control_net(self, name: str) -> None:
        """A kind of file that is not known here passes: ComfyUI's
        loader is to judge it, and newer ones take more.
        """
        _checked_control(name)

    def load_control_net(self, name: str) -> Any:
        """A file of a kind that is not known here goes to the loader of the folder it lies in."""
        import comfy.controlnet

        from . import patch_files

        # Validated already, unless the name came through a link.
        control = _checked_control(name)
        try:
            if control.is_patch:
                return patch_files.load(control.path)
            net = comfy.controlnet.load_controlnet(str(control.path))
        except torch.OutOfMemoryError:
            raise  # ComfyUI frees memory and says so itself
        except _NOT_LOADABLE as error:
            what = "model patch" if control.is_patch else "ControlNet"
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise UserError(
                f"{control.path} cannot be loaded as a {what}, ComfyUI's loader says {reason!r}: "
                f"fetch the file again, or update ComfyUI if the {what} is newer."
            ) from error
        if net is None:
            raise UserError(
                f"{control.path} is no ControlNet that this ComfyUI knows: pick another file from "
                "models/controlnet, or update ComfyUI if the ControlNet is newer."
            )
        return net

    def patch_net(self, patch: Any) -> PatchNet:
        from .model_patches import patch_net_of

        return patch_net_of(patch)

    def places(self) -> list[Path]:
        """Folders that a user named for "controlstack" in his extra paths come
        first, then models/controlstack, models/depth, and what comfyui_controlnet_aux fetched.
        """
        import folder_paths

        own = Path(folder_paths.models_dir, HINT_WEIGHTS)
        folder_paths.add_model_folder_path(HINT_WEIGHTS, str(own))
        return list(dict.fromkeys([*_bases(HINT_WEIGHTS), *_bases("depth"), *_aux_folders()]))

    def place(self, networks: Sequence[torch.nn.Module]) -> torch.device:
        from . import memory

        return memory.place(networks)

    @contextmanager
    def steps(self, total: int, text: str) -> Iterator[Steps]:
        """ComfyUI shows the node's own bar, without the words."""
        yield _ComfySteps(total)

    def schedulers(self) -> list[str]:
        import comfy.samplers

        return list(comfy.samplers.KSampler.SCHEDULERS)

    def sigmas(self, model: Any, scheduler: str, steps: int, denoise: float) -> Tensor:
        import comfy.samplers

        if denoise <= 0.0:
            return torch.zeros(0)
        whole = int(steps / denoise) if denoise < 1.0 else steps
        sampling = model.get_model_object("model_sampling")
        levels: Tensor = comfy.samplers.calculate_sigmas(sampling, scheduler, whole)
        return levels.cpu()[-(steps + 1) :]

    def usual_sampling(self) -> Any:
        import comfy.model_sampling

        return comfy.model_sampling.ModelSamplingDiscrete()

    def preview(self, picture: Image) -> Mapping[str, str]:
        import folder_paths

        folder = Path(folder_paths.get_temp_directory())
        folder.mkdir(parents=True, exist_ok=True)
        name = f"controlstack_{uuid4().hex}.png"
        picture.save(folder / name, compress_level=1)
        return {"filename": name, "subfolder": "", "type": "temp"}

    def shown(self, pictures: Iterable[Image]) -> list[Mapping[str, str]]:
        return [self.preview(picture) for picture in islice(pictures, SHOWN)]

    def running(self) -> Mapping[str, Any]:
        """ComfyUI tells the node's id, and its queue the graph."""
        try:
            from comfy_execution.utils import get_executing_context
            from server import PromptServer

            context = get_executing_context()
            under_way = PromptServer.instance.prompt_queue.get_current_queue()[0]
            graph = next(item[2] for item in under_way if item[1] == context.prompt_id)
            inputs = graph[context.node_id]["inputs"]
        except (ImportError, AttributeError, LookupError, StopIteration):
            return {}  # no server, as in scripts, or a node that another one made
        return {name: _told(graph, value) for name, value in inputs.items()}

    def output(self) -> Path:
        import folder_paths

        return Path(folder_paths.get_output_directory())

    def control_nets(self) -> Path:
        return _bases("controlnet")[0]

    def training_base(
        self, model: Any, clip: Any | None, vae: Any | None, name: str = "the base model"
    ) -> Base:
        from . import training_base

        return training_base.base_of(model, clip, vae, name)

    def control_net_of(self, network: Any, name: str) -> ControlNet:
        from .control_net import control_net_of

        return control_net_of(network)

    def network_of(self, control_net: Any, unet: Any, name: str) -> Any:
        from .control_net import network_of

        return network_of(control_net, unet, name)

    def training(self) -> AbstractContextManager[None]:
        from . import training_base

        return training_base.training()


def _told(graph: Mapping[str, Any], value: Any) -> Any:
    """An input's value; through a link, that of the primitive node at its other end."""
    if isinstance(value, list) and value:
        return graph.get(str(value[0]), {}).get("inputs", {}).get("value")
    return value


class _ComfySteps:
    """ComfyUI's progress bar, and its Cancel between two steps."""

    def __init__(self, total: int) -> None:
        import comfy.utils

        self._bar: Any = comfy.utils.ProgressBar(total)

    def advance(self, picture: Image | None = None) -> None:
        import comfy.model_management

        shown = None if picture is None else ("JPEG", picture, PREVIEW)
        self._bar.update_absolute(self._bar.current + 1, preview=shown)
        comfy.model_management.throw_exception_if_processing_interrupted()


# What ComfyUI's loaders, and torch in them, raise over a file that is not what it seems; a
# NameError is how the loader of model patches ends where it knows no such patch.
_NOT_LOADABLE = (
    *(RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError),
    NameError,
)


def _find(kinds: Sequence[str], name: str) -> tuple[str, Path]:
    """The first of `kinds` whose folders hold the file `name`, and the file."""
    import folder_paths

    # A name comes from a workflow, which may be a stranger's, and made on any system.
    folders = " or ".join(kinds)
    inside = inner_name(name, f"the {folders} file", f"ComfyUI's {folders} folders")
    for kind in kinds:
        found = folder_paths.get_full_path(kind, str(inside))
        if found is not None:
            return kind, Path(found)
    raise UserError(f"{name} is not in ComfyUI's {folders} folders; put it there, or refresh.")


@dataclass(frozen=True)
class _Control:
    """A file that our loader takes, and whether ComfyUI has it as a MODEL_PATCH."""

    path: Path
    is_patch: bool


def _checked_control(name: str) -> _Control:
    """See `Host.check_control_net`."""
    from . import patch_files

    folder, path = _find(CONTROL_FOLDERS, name)
    if is_gguf(path):
        raise UserError(
            f"{path} is a GGUF file, which ComfyUI's loaders do not read: use a .safetensors file."
        )
    contents = read_contents(path)
    _check_ending(path)
    kind = kind_of(contents.shapes)
    if kind is not None and not kind.control:
        raise UserError(f"{path} is {kind.words}, not {CONTROLNET.words}: {kind.place}.")
    is_patch = (folder if kind is None else kind.folder) == MODEL_PATCHES
    if is_patch:
        patch_files.require_known(path, kind)
    return _Control(path, is_patch)


def _check_ending(path: Path) -> None:
    """ComfyUI goes by a file's name, where the contents may be of the other format."""
    named = path.suffix.lower() in SAFETENSORS_SUFFIXES
    if named == is_pickle(path):
        told, right = ("a pickle", ".pth") if named else ("a safetensors file", ".safetensors")
        raise UserError(f"{path} is {told} by its contents: rename it so that it ends {right}.")


def _bases(kind: str) -> list[Path]:
    """ComfyUI's folders for a kind that it may not know: its extra paths, or models/`kind`."""
    import folder_paths

    known = folder_paths.folder_names_and_paths.get(kind)
    return [Path(p) for p in known[0]] if known else [Path(folder_paths.models_dir, kind)]


def _aux_folders() -> list[Path]:
    """Where comfyui_controlnet_aux keeps its weights: nobody needs them twice.

    The pack tells its folder in AUX_ANNOTATOR_CKPTS_PATH while it runs; ckpts is its default.
    """
    import folder_paths

    told = os.environ.get("AUX_ANNOTATOR_CKPTS_PATH")
    named = [Path(told)] if told else []
    packs = folder_paths.get_folder_paths("custom_nodes")
    named += [Path(pack, "comfyui_controlnet_aux", "ckpts") for pack in packs]
    return [path for path in named if path.is_dir()]
