"""A registry of small V1 nodes without torch models, for the tests of the graph."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from controlstack.ground.errors import UserError
from controlstack.headless.graph.registry import Registry

CALLS: list[str] = []


class Loader:
    RETURN_TYPES = ("MODEL", "CLIP")
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"name": (["a.safetensors", "b.safetensors"],)}}

    def load(self, name: str) -> tuple[str, str]:
        CALLS.append("Loader")
        return f"model {name}", f"clip {name}"


class Patch:
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "patch"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("MODEL",),
                "strength": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 10.0}),
            },
            "optional": {"mask": ("MASK",)},
        }

    def patch(self, model: str, strength: float, mask: str | None = None) -> tuple[str]:
        CALLS.append("Patch")
        return (f"{model} x{strength}" + (f" in {mask}" if mask else ""),)


class Mask:
    RETURN_TYPES = ("MASK",)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"soft": ("BOOLEAN", {"default": False})}}

    def make(self, soft: bool) -> tuple[str]:
        CALLS.append("Mask")
        return ("soft mask" if soft else "mask",)


class Encode:
    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"text": ("STRING", {"multiline": True}), "clip": ("CLIP",)}}

    def encode(self, text: str, clip: str) -> tuple[str]:
        CALLS.append("Encode")
        return (f"[{text}]",)


class Sampler:
    RETURN_TYPES = ("LATENT",)
    FUNCTION = "sample"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("MODEL",),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**64 - 1}),
                "steps": ("INT", {"default": 20, "min": 1, "max": 100}),
                "sampler": (["euler", "heun"],),
                "positive": ("CONDITIONING",),
            }
        }

    def sample(self, model: str, seed: int, steps: int, sampler: str, positive: str) -> tuple[str]:
        CALLS.append("Sampler")
        return (f"{sampler}({model}, {positive}, {seed}, {steps})",)


class Save:
    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"latent": ("LATENT",), "prefix": ("STRING", {"default": "out"})},
            "hidden": {"prompt": "PROMPT", "extra": "EXTRA_PNGINFO", "own_id": "UNIQUE_ID"},
        }

    def save(
        self, latent: str, prefix: str, prompt: Any = None, extra: Any = None, own_id: str = ""
    ) -> dict[str, Any]:
        CALLS.append("Save")
        return {"ui": {"saved": [f"{prefix}: {latent}"], "extra": [extra], "id": [own_id]}}


class Numbers:
    RETURN_TYPES = ("INT",)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"count": ("INT", {"default": 3, "min": 1, "max": 9})}}

    def make(self, count: int) -> tuple[list[int]]:
        return (list(range(count)),)


class Double:
    RETURN_TYPES = ("INT",)
    FUNCTION = "double"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"number": ("INT,FLOAT", {"forceInput": True})}}

    def double(self, number: int) -> tuple[int]:
        return (2 * number,)


class Sum:
    RETURN_TYPES = ("INT",)
    INPUT_IS_LIST = True
    OUTPUT_NODE = True
    FUNCTION = "add"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"numbers": ("*",)}}

    def add(self, numbers: list[int]) -> dict[str, Any]:
        return {"ui": {"sum": [sum(numbers)]}, "result": (sum(numbers),)}


class Picky:
    """Judges its own file name, and fails in the ways a node can fail."""

    RETURN_TYPES = ("MODEL",)
    OUTPUT_NODE = True
    FUNCTION = "run"
    changes: ClassVar[list[object]] = ["same"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"file": (["listed"],)}}

    @classmethod
    def VALIDATE_INPUTS(cls, file: str) -> bool | str:
        if file == "raises":
            raise UserError(f"the file {file!r} is truncated")
        return True if file != "refused" else "the file is refused"

    @classmethod
    def IS_CHANGED(cls, file: str) -> object:
        return cls.changes[-1]

    def run(self, file: str) -> tuple[str]:
        CALLS.append("Picky")
        if file == "user error":
            raise UserError("this model is of another kind")
        if file == "bug":
            raise KeyError("lost")
        if file == "interrupt":
            raise KeyboardInterrupt
        return (file,)


@pytest.fixture
def registry() -> Registry:
    CALLS.clear()
    Picky.changes[:] = ["same"]
    classes = (Loader, Patch, Mask, Encode, Sampler, Save, Numbers, Double, Sum, Picky)
    return Registry({cls.__name__: cls for cls in classes})


@pytest.fixture
def calls() -> list[str]:
    return CALLS


@pytest.fixture
def marks() -> list[object]:
    """What Picky's IS_CHANGED answers: the last of the list."""
    return Picky.changes


@pytest.fixture
def api() -> dict[str, Any]:
    """Loader -> Sampler -> Save in API format."""
    return {
        "1": {"class_type": "Loader", "inputs": {"name": "a.safetensors"}},
        "2": {"class_type": "Encode", "inputs": {"text": "a cat", "clip": ["1", 1]}},
        "3": {
            "class_type": "Sampler",
            "inputs": {
                "model": ["1", 0],
                "seed": 7,
                "steps": 20,
                "sampler": "euler",
                "positive": ["2", 0],
            },
            "_meta": {"title": "First pass"},
        },
        "4": {"class_type": "Save", "inputs": {"latent": ["3", 0], "prefix": "out"}},
    }


@pytest.fixture
def ui() -> dict[str, Any]:
    """The same graph as the canvas saves it, schema 0.4."""
    return {
        "last_node_id": 4,
        "last_link_id": 4,
        "nodes": [
            ui_node(1, "Loader", [], ["MODEL", "CLIP"], ["a.safetensors"]),
            ui_node(2, "Encode", [("clip", "CLIP", 1)], ["CONDITIONING"], ["a cat"]),
            ui_node(
                3,
                "Sampler",
                [("model", "MODEL", 2), ("positive", "CONDITIONING", 3)],
                ["LATENT"],
                [7, "randomize", 20, "euler"],
                title="First pass",
            ),
            ui_node(4, "Save", [("latent", "LATENT", 4)], [], ["out"]),
        ],
        "links": [
            [1, 1, 1, 2, 0, "CLIP"],
            [2, 1, 0, 3, 0, "MODEL"],
            [3, 2, 0, 3, 1, "CONDITIONING"],
            [4, 3, 0, 4, 0, "LATENT"],
        ],
        "version": 0.4,
    }


def ui_node(
    node_id: int,
    node_type: str,
    inputs: list[tuple[str, str, int | None]],
    outputs: list[str],
    values: Any,
    **more: Any,
) -> dict[str, Any]:
    return {
        "id": node_id,
        "type": node_type,
        "mode": 0,
        "inputs": [{"name": name, "type": kind, "link": link} for name, kind, link in inputs],
        "outputs": [{"name": kind, "type": kind, "links": []} for kind in outputs],
        "widgets_values": values,
        **more,
    }


@pytest.fixture
def make_node() -> Any:
    return ui_node


def subgraph(make_node: Any) -> dict[str, Any]:
    """Encode and Sampler inside: model and clip come in, with the fields text and seed; LATENT
    goes out.
    """
    field = {"name": "text", "type": "STRING", "link": 13, "widget": {"name": "text"}}
    seed = {"name": "seed", "type": "INT", "link": 15, "widget": {"name": "seed"}}
    encode = make_node(2, "Encode", [("clip", "CLIP", 11)], ["CONDITIONING"], ["inner text"])
    encode["inputs"].append(field)
    sampler = make_node(
        3,
        "Sampler",
        [("model", "MODEL", 10), ("positive", "CONDITIONING", 12)],
        ["LATENT"],
        [1, "fixed", 20, "euler"],
    )
    sampler["inputs"].append(seed)
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
    links = [
        (10, -10, 0, 3, 0),
        (11, -10, 1, 2, 0),
        (12, 2, 0, 3, 1),
        (13, -10, 2, 2, 1),
        (14, 3, 0, -20, 0),
        (15, -10, 3, 3, 2),
    ]
    inputs = [("model", "MODEL"), ("clip", "CLIP"), ("text", "STRING"), ("seed", "INT")]
    return {
        "id": "sub",
        "name": "Text to latent",
        "inputs": [{"name": name, "type": kind} for name, kind in inputs],
        "outputs": [{"name": "LATENT", "type": "LATENT"}],
        "nodes": [encode, sampler],
        "links": [dict(zip(keys, link, strict=True)) for link in links],
    }


@pytest.fixture
def nested(ui: dict[str, Any], make_node: Any) -> dict[str, Any]:
    """The graph of `ui` with Encode and Sampler inside the subgraph node 12."""
    host = make_node(
        12, "sub", [("model", "MODEL", 1), ("clip", "CLIP", 2)], ["LATENT"], ["a cat", 7]
    )
    return {
        "nodes": [ui["nodes"][0], host, ui["nodes"][3]],
        "links": [[1, 1, 0, 12, 0, "MODEL"], [2, 1, 1, 12, 1, "CLIP"], [4, 12, 0, 4, 0, "LATENT"]],
        "definitions": {"subgraphs": [subgraph(make_node)]},
        "version": 0.4,
    }
