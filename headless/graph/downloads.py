"""Where the author of a workflow got its model files: the canvas's `properties.models`."""

from __future__ import annotations

from collections.abc import Iterator

from .model import Json, JsonObject


def downloads(workflow: JsonObject | None) -> dict[str, str]:
    """The address of each model file that the nodes of a UI document name, subgraphs included.

    What is not of the form is passed over: the addresses are for a person to read, and nothing
    here follows them.
    """
    found: dict[str, str] = {}
    for node in _nodes(workflow or {}):
        properties = node.get("properties")
        models = properties.get("models") if isinstance(properties, dict) else None
        for model in models if isinstance(models, list) else []:
            if isinstance(model, dict):
                name, url = model.get("name"), model.get("url")
                if isinstance(name, str) and isinstance(url, str) and _is_address(url):
                    found[name] = url
    return found


def _nodes(document: JsonObject) -> Iterator[JsonObject]:
    definitions = document.get("definitions")
    subgraphs = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    for canvas in [document, *_objects(subgraphs)]:
        yield from _objects(canvas.get("nodes"))


def _objects(value: Json) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_address(url: str) -> bool:
    return url.startswith(("https://", "http://")) and url.isprintable() and len(url) < 500
