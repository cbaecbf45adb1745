"""The nodes that train a ControlNet and measure whether pictures follow their hints.

Made when the host first asks: at ComfyUI's start they cost nothing.
"""

from __future__ import annotations

from .later import later


def _from_model() -> type:
    from .net_nodes import ControlStackControlNetFromModel

    return ControlStackControlNetFromModel


def _training_data() -> type:
    from .train_nodes import ControlStackTrainingData

    return ControlStackTrainingData


def _train() -> type:
    from .train_nodes import ControlStackTrain

    return ControlStackTrain


def _save() -> type:
    from .net_nodes import ControlStackSaveControlNet

    return ControlStackSaveControlNet


def _loss_plot() -> type:
    from .train_nodes import ControlStackLossPlot

    return ControlStackLossPlot


def _fidelity() -> type:
    from .fidelity_node import ControlStackFidelity

    return ControlStackFidelity


# Without a type, so that ComfyUI-Manager's scanner finds it.
NODE_CLASS_MAPPINGS = {
    "ControlStackControlNetFromModel": later(_from_model),
    "ControlStackTrainingData": later(_training_data),
    "ControlStackTrain": later(_train),
    "ControlStackSaveControlNet": later(_save),
    "ControlStackLossPlot": later(_loss_plot),
    "ControlStackFidelity": later(_fidelity),
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "ControlStackControlNetFromModel": "ControlNet from Model",
    "ControlStackTrainingData": "Training Data",
    "ControlStackTrain": "Train ControlNet",
    "ControlStackSaveControlNet": "Save ControlNet",
    "ControlStackLossPlot": "Loss Plot",
    "ControlStackFidelity": "Condition Fidelity",
}
