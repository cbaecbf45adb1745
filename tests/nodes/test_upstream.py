"""The names of files, found by walking up the graph."""

from __future__ import annotations

from typing import Any

import pytest

from controlstack.nodes.upstream import file_behind

PROMPT: dict[str, dict[str, Any]] = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "dream.safetensors"}},
    "2": {"class_type": "LoraLoader", "inputs": {"model": ["1", 0], "lora_name": "ink"}},
    "3": {"class_type": "ControlNetLoader", "inputs": {"control_net_name": "sub/pose.safetensors"}},
    "4": {"class_type": "SetUnionControlNetType", "inputs": {"control_net": ["3", 0]}},
    "5": {"class_type": "ControlStackAdd", "inputs": {"control_net": ["4", 0]}},
    "6": {"class_type": "ControlStackApply", "inputs": {"model": ["2", 0], "stack": ["5", 0]}},
    "7": {"class_type": "ControlStackApply", "inputs": {"model": ["7", 0]}},
    "8": {"class_type": "ControlStackApply", "inputs": {"model": ["99", 0]}},
    "9": {"class_type": "ModelPatchLoader", "inputs": {"name": "fun.safetensors"}},
    "10": {"class_type": "ControlStackAdd", "inputs": {"control_net": ["9", 0]}},
    "11": {"class_type": "Named", "inputs": {"name": "x", "control_net": ["9", 0]}},
    "12": {"class_type": "ControlStackAdd", "inputs": {"control_net": ["11", 0]}},
}


@pytest.mark.parametrize(
    ("node", "wire", "file"),
    [
        ("6", "model", "dream.safetensors"),
        ("5", "control_net", "sub/pose.safetensors"),
        ("10", "control_net", "fun.safetensors"),
        ("12", "control_net", "fun.safetensors"),
        ("7", "model", ""),  # a circle
        ("8", "model", ""),  # a node that is not in the graph
        ("elsewhere", "model", ""),  # this node itself is not, as inside an expanded one
    ],
)
def test_the_loader_behind_a_wire(node: str, wire: str, file: str) -> None:
    assert file_behind(PROMPT, node, wire) == file


def test_a_host_that_tells_nothing() -> None:
    assert file_behind(None, None, "model") == ""
