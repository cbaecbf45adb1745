"""Where the author of a workflow got its model files: `properties.models` of nodes, and notes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

from .model import Json, JsonObject

_NOTES = frozenset({"Note", "MarkdownNote"})
_URL = re.compile(r"https?://[^\s<>\"'\])}]{1,500}")
_MODEL = re.compile(r".+\.(?:safetensors|sft|ckpt|pth?|bin|gguf|onnx)", re.IGNORECASE)


def downloads(workflow: JsonObject | None) -> dict[str, str]:
    """The address of each model file that the nodes of a UI document name, subgraphs included, or
    that a note of it leads to.

    What is not of the form is passed over: the addresses are for a person to read, and nothing
    here follows them.
    """
    found: dict[str, str] = {}
    noted: dict[str, str] = {}
    for node in drawn_nodes(workflow or {}):
        properties = node.get("properties")
        models = properties.get("models") if isinstance(properties, dict) else None
        for model in models if isinstance(models, list) else []:
            if isinstance(model, dict):
                name, url = model.get("name"), model.get("url")
                if isinstance(name, str) and isinstance(url, str) and _is_address(url):
                    found[name] = url
        if node.get("type") in _NOTES:
            noted |= _in_note(node.get("widgets_values"))
    return {**noted, **found}


def address_of(name: str, addresses: Mapping[str, str]) -> str:
    """Where the file `name` ("1.5/depth.pth") was got, by its whole name or without its folders; ""
    where that is not told."""
    return addresses.get(name) or addresses.get(re.split(r"[/\\]", name)[-1], "")


def drawn_nodes(document: JsonObject) -> Iterator[JsonObject]:
    """Every node of a UI document that is an object, those of its subgraphs included."""
    definitions = document.get("definitions")
    subgraphs = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    for canvas in [document, *_objects(subgraphs)]:
        yield from _objects(canvas.get("nodes"))


def _in_note(stored: Json) -> dict[str, str]:
    """The addresses in a note that end in the name of a model file."""
    texts = [one for one in stored if isinstance(one, str)] if isinstance(stored, list) else []
    urls = [url for text in texts for url in _URL.findall(text) if _is_address(url)]
    named = {_last_part(url): url for url in urls}
    return {name: url for name, url in named.items() if _MODEL.fullmatch(name)}


def _last_part(url: str) -> str:
    try:
        return unquote(urlsplit(url).path).rsplit("/", 1)[-1]
    except ValueError:  # no address after all, such as "http://["
        return ""


def _objects(value: Json) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_address(url: str) -> bool:
    return url.startswith(("https://", "http://")) and url.isprintable() and len(url) < 500
