"""A workflow file in, a Graph out: API JSON, UI JSON, or a PNG that ComfyUI wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from ...ground.errors import UserError
from ...ground.structured import read_json
from ...ground.wording import shown
from .api_format import is_api, read_api
from .flatten import flatten
from .model import Graph, Json, JsonObject, Link, Node
from .registry import Registry
from .ui_format import is_ui, read_ui

__all__ = ["Graph", "Link", "Node", "load_workflow", "read_workflow"]

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The largest shared workflows have a few megabytes; one that holds pictures has some more.
MAX_BYTES = 64 * 2**20


def load_workflow(path: Path, registry: Registry) -> Graph:
    """Read the workflow in `path`: JSON in API or UI format, or a PNG with one inside.

    Of a PNG's two texts, `prompt` (what ran) comes before `workflow` (the canvas). Raises UserError
    for a file that is missing, is no workflow, or holds values no workflow can hold.
    """
    try:
        with path.open("rb") as file:
            data = file.read(len(_PNG_SIGNATURE))
            if data != _PNG_SIGNATURE:
                data += file.read(MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"cannot read the workflow {path}: {reason}") from error
    if data == _PNG_SIGNATURE:
        return _from_png(path, registry)
    if len(data) > MAX_BYTES:
        raise UserError(f"{path} is no workflow: it has more than {MAX_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is neither JSON nor a PNG that ComfyUI wrote; give a workflow of one of "
            "the two"
        ) from error
    return read_workflow(read_json(text, str(path)), registry, str(path))


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


def _from_png(path: Path, registry: Registry) -> Graph:
    texts = _png_texts(path)
    documents = {key: _document(path, key, text) for key, text in texts.items()}
    workflow, prompt = documents.get("workflow"), documents.get("prompt")
    if isinstance(prompt, dict) and is_api(prompt):
        canvas = workflow if isinstance(workflow, dict) else None
        return _with_new_fields(read_api(prompt, f"{path} (prompt)", canvas), registry)
    if "workflow" in documents:
        return read_workflow(workflow, registry, f"{path} (workflow)")
    raise UserError(
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


def _document(path: Path, key: str, text: str) -> Json:
    return read_json(text, f"{path} ({key})")


def _png_texts(path: Path) -> dict[str, str]:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            texts = {**getattr(image, "text", {})}
    except Exception as error:  # broken files make Pillow's reader raise almost anything
        raise UserError(f"the picture {path} cannot be read: {shown(str(error), 200)}") from error
    return {key: str(texts[key]) for key in ("prompt", "workflow") if key in texts}


def _not_empty(graph: Graph, source: str) -> Graph:
    if not graph.nodes:
        raise UserError(f"{source} holds no node that can run")
    return graph
