"""The nodes that train a ControlNet and measure whether pictures follow their hints.

Made when the host first asks: at ComfyUI's start they cost nothing.
"""

from __future__ import annotations

from .lazy_node import node_in

# Without a type, so that ComfyUI-Manager's scanner finds it.
NODE_CLASS_MAPPINGS = {
    "ControlStackControlNetFromModel": node_in(
        "ControlNet from Model", "net_nodes", "ControlStackControlNetFromModel"
    ),
    "ControlStackTrainingData": node_in("Training Data", "train_nodes", "ControlStackTrainingData"),
    "ControlStackTrain": node_in("Train ControlNet", "train_nodes", "ControlStackTrain"),
    "ControlStackSaveControlNet": node_in(
        "Save ControlNet", "net_nodes", "ControlStackSaveControlNet"
    ),
    "ControlStackLossPlot": node_in("Loss Plot", "train_nodes", "ControlStackLossPlot"),
    "ControlStackFidelity": node_in("Condition Fidelity", "fidelity_node", "ControlStackFidelity"),
}
NODE_DISPLAY_NAME_MAPPINGS = {key: node.title for key, node in NODE_CLASS_MAPPINGS.items()}
