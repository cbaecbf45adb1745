"""A workflow file in, a Graph out: API JSON, UI JSON, or a PNG that ComfyUI wrote."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ...conversion.drawn_form import is_drawn
from ...ground.errors import UserError
from ...ground.reading import read_bytes
from ...ground.structured import read_json
from ...ground.wording import size_in_words
from .api_format import is_api, read_api
from .canvas_nodes import UNSENT
from .dynamic_prompts import Draws
from .flatten import flatten
from .model import Graph, Json, JsonObject, Link, Node
from .png_texts import MAX_TEXT, SIGNATURE, read_texts
from .registry import Registry
from .ui_format import BYPASSED, MUTED, UiDocument, read_ui

__all__ = ["Document", "Graph", "Link", "Node", "load_workflow", "read_document", "read_workflow"]


@dataclass(frozen=True)
class Document:
    """A workflow file, parsed: what ran, or a canvas, and then the nodes that are known decide what
    graph it means.

    `source` names the file in errors. Nodes that `ran` may have got fields since.
    """

    source: str
    content: Graph | UiDocument
    ran: bool = False

    def graph(self, registry: Registry, draws: Draws | None = None) -> Graph:
        """The graph; `draws` choose in dynamic prompts, by default those of seed 0. UserError for a
        canvas that means none to these nodes.
        """
        if isinstance(self.content, UiDocument):
            graph = flatten(self.content, registry, self.source, draws)
            if not graph.nodes:
                raise UserError(f"{self.source} holds no node that can run: {_why(self.content)}")
            return graph
        return _with_new_fields(self.content, registry) if self.ran else self.content


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
    return parse(_json(data, path), str(path))


def read_saved(path: Path) -> JsonObject:
    """The workflow in `path` as it is saved, to be edited: what the canvas opens where a PNG or a
    request holds both that and what ran.

    Raises as `read_document`.
    """
    data = read_bytes(path, "the workflow", pipes=True)
    if data.startswith(SIGNATURE):
        values = _png_values(data, str(path))
        for key in ("workflow", "prompt"):
            value = values.get(key)
            if isinstance(value, dict):
                return _innermost(value)
        raise _no_workflow_in(str(path))
    value = _json(data, path)
    parse(value, str(path))  # says what is wrong with it
    assert isinstance(value, dict)
    return _innermost(value)


def _innermost(value: JsonObject) -> JsonObject:
    """A workflow without the request to a server that it came in."""
    if is_drawn(value) or is_api(value):
        return value
    inner = _sent_along(value) or value.get("workflow") or value.get("prompt")
    return _innermost(inner) if isinstance(inner, dict) else value


def _json(data: bytes, path: Path) -> Json:
    if len(data) > MAX_TEXT:
        raise UserError(f"{path} is no workflow: it has more than {size_in_words(MAX_TEXT)}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is neither JSON nor a PNG that ComfyUI wrote; give a workflow of one of "
            "the two"
        ) from error
    return read_json(text, str(path))


def read_workflow(value: Json, registry: Registry, source: str) -> Graph:
    """The graph of a JSON value in either format; `source` names the file in errors."""
    return parse(value, source).graph(registry)


def parse(value: Json, source: str) -> Document:
    """The workflow that a JSON value holds in either format, also inside a request to ComfyUI's
    server; UserError, naming `source`, where it holds none.
    """
    if isinstance(value, dict):
        if is_drawn(value):
            return Document(source, read_ui(value, source))
        if is_api(value):
            return Document(source, read_api(value, source))
        prompt, canvas = value.get("prompt"), value.get("workflow")
        if isinstance(prompt, dict) and is_api(prompt):
            return Document(source, read_api(prompt, source, _sent_along(value)))
        for inner in (prompt, canvas):
            if isinstance(inner, dict):
                return parse(inner, source)
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


def _from_png(data: bytes, path: str) -> Document:
    values = _png_values(data, path)
    prompt, canvas = values.get("prompt"), values.get("workflow")
    if isinstance(prompt, dict) and is_api(prompt):
        source, shown = f"{path} (prompt)", canvas if isinstance(canvas, dict) else None
        return Document(source, read_api(prompt, source, shown), ran=True)
    if "workflow" in values:
        return parse(canvas, f"{path} (workflow)")
    raise _no_workflow_in(path)


def _png_values(data: bytes, path: str) -> dict[str, Json]:
    texts = read_texts(data, path)
    return {
        key: read_json(texts[key], f"{path} ({key})")
        for key in ("prompt", "workflow")
        if key in texts
    }


def _no_workflow_in(path: str) -> UserError:
    return UserError(
        f"the picture {path} holds no workflow; pictures lose it when a site or an editor saves "
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


def _why(document: UiDocument) -> str:
    """Why a canvas means no node at all."""
    nodes = [one for one in document.canvas.nodes.values() if one.type not in UNSENT]
    muted = sum(node.mode == MUTED for node in nodes)
    bypassed = sum(node.mode == BYPASSED for node in nodes)
    if not muted + bypassed:
        return "there are none, or only notes"
    how = "muted" if not bypassed else "bypassed"
    if muted and bypassed:
        how = f"muted ({muted}) or bypassed ({bypassed})"
    if muted + bypassed < len(nodes):
        are = "is" if muted + bypassed == 1 else "are"
        return f"{muted + bypassed} of its {len(nodes)} nodes {are} {how}, and no other one runs"
    every = "its node is" if len(nodes) == 1 else f"all {len(nodes)} nodes are"
    return f"{every} {how}; unmute those that are to run"
