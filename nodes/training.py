"""The nodes that train a ControlNet and measure whether pictures follow their hints.

Made when the host first asks: at ComfyUI's start they cost nothing.
"""

from __future__ import annotations

from importlib import import_module

from .later import later


def _node(module: str, name: str) -> type:
    return later(lambda: vars(import_module(f"{__package__}.{module}"))[name])


# Without a type, so that ComfyUI-Manager's scanner finds it.
NODE_CLASS_MAPPINGS = {
    "ControlStackControlNetFromModel": _node("net_nodes", "ControlStackControlNetFromModel"),
    "ControlStackTrainingData": _node("train_nodes", "ControlStackTrainingData"),
    "ControlStackTrain": _node("train_nodes", "ControlStackTrain"),
    "ControlStackSaveControlNet": _node("net_nodes", "ControlStackSaveControlNet"),
    "ControlStackLossPlot": _node("train_nodes", "ControlStackLossPlot"),
    "ControlStackFidelity": _node("fidelity_node", "ControlStackFidelity"),
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "ControlStackControlNetFromModel": "ControlNet from Model",
    "ControlStackTrainingData": "Training Data",
    "ControlStackTrain": "Train ControlNet",
    "ControlStackSaveControlNet": "Save ControlNet",
    "ControlStackLossPlot": "Loss Plot",
    "ControlStackFidelity": "Condition Fidelity",
}
