"""A workflow file in, a Graph out: API JSON, UI JSON, or a PNG that ComfyUI wrote."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ...ground.errors import UserError
from ...ground.reading import read_bytes
from ...ground.structured import read_json
from ...ground.wording import size_in_words
from .api_format import is_api, read_api
from .flatten import flatten
from .model import Graph, Json, JsonObject, Link, Node
from .png_texts import MAX_TEXT, SIGNATURE, read_texts
from .registry import Registry
from .ui_format import is_ui, read_ui

__all__ = ["Document", "Graph", "Link", "Node", "load_workflow", "read_document", "read_workflow"]


@dataclass(frozen=True)
class Document:
    """What a workflow file holds. The nodes that are known decide what graph it means.

    `value` is its JSON; of a PNG's two texts `prompt` (what ran), with the `canvas` beside it, or
    else `workflow` (the canvas). `source` names the file in errors.
    """

    source: str
    value: Json
    ran: bool = False
    canvas: JsonObject | None = None

    def graph(self, registry: Registry) -> Graph:
        """The graph; UserError for what is no workflow of these nodes."""
        if self.ran and isinstance(self.value, dict):
            return _with_new_fields(read_api(self.value, self.source, self.canvas), registry)
        return read_workflow(self.value, registry, self.source)


def load_workflow(path: Path, registry: Registry) -> Graph:
    """The workflow in `path` as a graph; raises as `read_document` and `Document.graph`."""
    return read_document(path).graph(registry)


def read_document(path: Path) -> Document:
    """Read the workflow in `path`, which may be a pipe: JSON in API or UI format, or a PNG with one
    inside.

    Raises UserError for a file that is missing, is no workflow, or holds values no workflow can
    hold.
    """
    data = read_bytes(path, "the workflow", pipes=True)
    if data.startswith(SIGNATURE):
        return _from_png(data, str(path))
    if len(data) > MAX_TEXT:
        raise UserError(f"{path} is no workflow: it has more than {size_in_words(MAX_TEXT)}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is neither JSON nor a PNG that ComfyUI wrote; give a workflow of one of "
            "the two"
        ) from error
    return Document(str(path), read_json(text, str(path)))


def read_workflow(document: Json, registry: Registry, source: str) -> Graph:
    """The graph of a JSON value in either format; `source` names the file in errors."""
    if isinstance(document, dict):
        if is_ui(document):
            canvas, definitions = read_ui(document, source)
            return _not_empty(flatten(canvas, definitions, registry, source, document), source)
        if is_api(document):
            return read_api(document, source)
        wrapped = document.get("prompt")
        if isinstance(wrapped, dict) and is_api(wrapped):
            return read_api(wrapped, source, _sent_along(document))
        if isinstance(wrapped, dict) or isinstance(document.get("workflow"), dict):
            inner = wrapped if isinstance(wrapped, dict) else document["workflow"]
            return read_workflow(inner, registry, source)
    raise UserError(
        f"{source} is JSON, but no workflow: it has neither a list of nodes (as ComfyUI saves) nor "
        "nodes with a class_type (as ComfyUI exports for its API)"
    )


def _sent_along(document: JsonObject) -> JsonObject | None:
    """The UI workflow in a request to ComfyUI's server: extra_data.extra_pnginfo.workflow."""
    value: Json = document
    for key in ("extra_data", "extra_pnginfo", "workflow"):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else None


def _from_png(data: bytes, source: str) -> Document:
    texts = read_texts(data, source)
    values = {
        key: read_json(texts[key], f"{source} ({key})")
        for key in ("prompt", "workflow")
        if key in texts
    }
    prompt, canvas = values.get("prompt"), values.get("workflow")
    if isinstance(prompt, dict) and is_api(prompt):
        shown = canvas if isinstance(canvas, dict) else None
        return Document(f"{source} (prompt)", prompt, ran=True, canvas=shown)
    if "workflow" in values:
        return Document(f"{source} (workflow)", canvas)
    raise UserError(
        f"the picture {source} holds no workflow; pictures lose it when a site or an editor saves "
        "them again"
    )


def _with_new_fields(graph: Graph, registry: Registry) -> Graph:
    """Defaults for fields that nodes have got since an older ComfyUI wrote the prompt."""
    return replace(graph, nodes={key: _filled(node, registry) for key, node in graph.nodes.items()})


def _filled(node: Node, registry: Registry) -> Node:
    spec = registry.get(node.type)
    if spec is None:
        return node
    missing = {
        field.name: field.default
        for field in spec.widgets
        if field.required and field.name not in node.inputs and "default" in field.options
    }
    return replace(node, inputs={**node.inputs, **missing})


def _not_empty(graph: Graph, source: str) -> Graph:
    if graph.nodes:
        return graph
    why = "every one of them is muted or bypassed; unmute the nodes that are to run"
    said = why if graph.asleep else "there are none, or only notes"
    raise UserError(f"{source} holds no node that can run: {said}")
