"""Training data, the training itself, and its curve."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from ..ground.errors import UserError
from ..ground.parameters import parameters, settings_of
from ..hosts import host
from ..training.settings import DataSettings, TrainingSettings, ValidationSettings
from . import images
from .net_nodes import check_name
from .train_values import CATEGORY, CURVE, DATA, TRAINABLE, LossCurve, Trainable
from .upstream import HIDDEN, Prompt, file_behind
from .widgets import Widget, answer, filled, widgets

SIMPLE = {"path", "condition", "resolution", "flip", "steps", "batch", "rate", "validate_every"}
"""Settings that are always in sight; the front end folds the others away as advanced."""
VALIDATION = "validation_"
"""What begins the names of a validation's settings among the training's own."""
TAKE = "take"
TAKEN = ("training", "newest", "best")
"""Where the network that comes out is from: the training, or what an earlier one has left."""
VALIDATE_EVERY = 500
"""Steps between two previews: a graph, other than a command, is watched."""


def _fields(kind: type[Any]) -> dict[str, Widget]:
    made = {}
    for name, (type_, options) in widgets(parameters(kind)).items():
        # Another seed at every click of the queue would train anew.
        fixed = {"control_after_generate": False} if name == "seed" else {}
        folded = {} if name in SIMPLE else {"advanced": True}
        made[name] = (type_, {**options, **fixed, **folded})
    return made


def _validation_fields() -> dict[str, Widget]:
    """A validation's settings; its `steps` and `seed` are others than the training's."""
    fields = _fields(ValidationSettings)
    for _, options in fields.values():
        options["advanced"] = True
    return {f"{VALIDATION}{name}": one for name, one in fields.items()}


@filled
class ControlStackTrainingData:
    """Pictures, hints and captions to learn from."""

    DESCRIPTION = (
        "Opens a data set for training: pictures with captions, and hints that are given or made "
        "by a preprocessor. Every file is looked at before anything is learnt."
    )
    SEARCH_ALIASES = (
        "dataset",
        "fill50k",
        "imagefolder",
        "load training images",
        "训练数据",
        "数据集",
    )
    CATEGORY = CATEGORY
    FUNCTION = "open"
    RETURN_TYPES = (DATA, "IMAGE", "STRING")
    RETURN_NAMES = ("data", "preview", "report")
    OUTPUT_TOOLTIPS = (
        "The data, for Train ControlNet.",
        "The first rows as the training sees them: picture, hint, caption.",
        "What was found: rows, sizes, and what is wrong with some.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        from ..preprocessors.registry import PREPROCESSORS

        fields = _fields(DataSettings)
        fields["condition"] = (["", *PREPROCESSORS], fields["condition"][1])
        return {"required": {"path": fields.pop("path")}, "optional": fields}

    @classmethod
    def VALIDATE_INPUTS(cls, condition: str | None = None) -> bool | str:
        """Whether there is such a preprocessor, which says what may be meant: hosts leave to a node
        the menus that it names. None comes through a link.
        """
        from ..training.data.condition import check_condition

        return answer(check_condition, condition)

    @classmethod
    def IS_CHANGED(cls, **settings: Any) -> float | str:
        """What changes with the data on the disk, so that nothing is trained twice on the same.

        NaN, "look at it", for data that cannot be listed and a path that comes through a link.
        """
        from ..training.data.rows import state_of

        try:
            return state_of(settings_of(DataSettings, settings, "Training Data"))
        except (UserError, OSError):
            return math.nan

    def open(self, **settings: Any) -> tuple[Any, Tensor, str]:
        """Read and check the rows; see `training.data.check.check`."""
        from ..training.data.check import check, usable
        from ..training.data.preview import preview

        report = check(
            settings_of(DataSettings, settings, "Training Data"), full=False, progress=host.steps
        )
        usable(report)
        return report, images.of_picture(preview(report)), report.text


@filled
class ControlStackTrain:
    """Teaches a network to follow hints."""

    DESCRIPTION = (
        "Trains a ControlNet on a locked model. Checkpoints, curve and previews go to the output "
        "folder; a run that was stopped goes on with resume."
    )
    SEARCH_ALIASES = ("train controlnet", "finetune", "training loop", "训练 ControlNet", "训练")
    CATEGORY = CATEGORY
    FUNCTION = "train"
    RETURN_TYPES = ("CONTROL_NET", TRAINABLE, CURVE, "IMAGE")
    RETURN_NAMES = ("control_net", "net", "curve", "sheet")
    OUTPUT_TOOLTIPS = (
        "The trained ControlNet, for Add ControlNet.",
        "The trained network, for Save ControlNet or more training.",
        "Loss and fidelity over the steps, for Loss Plot.",
        "The last validation: hints, pictures without and with control.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        fields = _fields(TrainingSettings)
        fields["validate_every"][1]["default"] = VALIDATE_EVERY
        later = {"compile": fields.pop("compile")}  # workflows know the places of those before it
        name = "The run's folder in the output folder, under controlstack/training."
        resume = "Go on from the folder's newest checkpoint, with the same settings."
        take = (
            "What comes out. training: the network at the training's end. newest: no training, the "
            "network of the folder's newest checkpoint, such as after Cancel. best: no training, "
            "what save_best has kept."
        )
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "The model to train on. It stays as it is."}),
                "clip": ("CLIP", {"tooltip": "The model's text encoder."}),
                "vae": ("VAE", {"tooltip": "The model's VAE."}),
                "net": (TRAINABLE, {"tooltip": "What is trained, from ControlNet from Model."}),
                "data": (DATA, {"tooltip": "What it learns from, from Training Data."}),
                "name": ("STRING", {"default": "my_controlnet", "tooltip": name}),
                "resume": ("BOOLEAN", {"default": False, "tooltip": resume}),
            },
            "optional": fields
            | _validation_fields()
            | {TAKE: (list(TAKEN), {"default": TAKEN[0], "tooltip": take})}
            | later,
            "hidden": HIDDEN,
        }

    @classmethod
    def VALIDATE_INPUTS(cls, name: str | None = None) -> bool | str:
        """Whether the name can be a folder's; None where it comes through a link."""
        return answer(check_name, name)

    @classmethod
    def IS_CHANGED(
        cls, name: str | None = None, take: str | None = TAKEN[0], **_: Any
    ) -> float | str:
        """What changes with what there is to take; NaN, "look at it", where that comes through a
        link.
        """
        from .train_run import state_of

        if take == TAKEN[0]:
            return ""
        if name is None or take is None or answer(check_name, name) is not True:
            return math.nan
        return state_of(_run_folder(name), take)

    def train(
        self,
        model: Any,
        clip: Any,
        vae: Any,
        net: Trainable,
        data: Any,
        name: str,
        resume: bool,
        prompt: Prompt | None = None,
        unique_id: str | None = None,
        **settings: Any,
    ) -> tuple[Any, Trainable, LossCurve, Tensor]:
        """Train a copy of `net` (`training.control_net.train_control_net`), or `take` the network
        that an earlier training has left."""
        from .train_run import TrainRequest, carry_out, taken

        check_name(name)
        take = settings.pop(TAKE, TAKEN[0])
        tried = {name: settings.pop(name) for name in [*settings] if name.startswith(VALIDATION)}
        chosen = settings_of(TrainingSettings, settings, "Train ControlNet")
        validation = settings_of(
            ValidationSettings,
            {name.removeprefix(VALIDATION): value for name, value in tried.items()},
            "Train ControlNet's validation",
        )
        base_name = file_behind(prompt, unique_id, "model") or "the base model"
        folder = _run_folder(name)
        request = TrainRequest(net, data, chosen, validation, folder, name, base_name, resume)
        done = carry_out(request, model, clip, vae) if take == TAKEN[0] else taken(request, take)
        return done.control_net, done.net, done.curve, images.of_picture(done.sheet)


def _run_folder(name: str) -> Path:
    return host.current().output() / "controlstack" / "training" / name


class ControlStackLossPlot:
    """The curve of a training as a picture."""

    DESCRIPTION = (
        "Draws the curve of a training: the loss, and how well pictures follow their hints, with "
        "the step where that rose fastest."
    )
    SEARCH_ALIASES = ("loss graph", "training curve", "plot", "损失曲线")
    CATEGORY = CATEGORY
    FUNCTION = "draw"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("plot",)
    OUTPUT_TOOLTIPS = ("The plot, for Preview Image or Save Image.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        return {"required": {"curve": (CURVE, {"tooltip": "The curve, from Train ControlNet."})}}

    def draw(self, curve: LossCurve) -> tuple[Tensor]:
        """The plot as IMAGE (1, H, W, 3)."""
        from io import BytesIO

        from PIL import Image

        from ..training.plots import draw_curve

        png = draw_curve(curve.points, curve.validations, curve.name)
        return (images.of_picture(Image.open(BytesIO(png)).convert("RGB")),)
