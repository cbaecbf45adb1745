"""Where the author of a workflow got its model files: `properties.models` of nodes, and notes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

from ...conversion.drawn_form import subgraphs_of
from ...ground.structured import Json, JsonObject, object_at, objects_in, text_at
from ..folders import MODEL_SUFFIXES

_NOTES = frozenset({"Note", "MarkdownNote"})
_URL = re.compile(r"https?://[^\s<>\"'\])}]{1,500}")
_ENDINGS = sorted(MODEL_SUFFIXES | {".gguf", ".onnx"})
_MODEL = re.compile(f".+(?:{'|'.join(map(re.escape, _ENDINGS))})", re.IGNORECASE)


def downloads(workflow: JsonObject | None) -> dict[str, str]:
    """The address of each model file that the nodes of a UI document name, subgraphs included, or
    that a note of it leads to.

    What is not of the form is passed over: the addresses are for a person to read, and nothing
    here follows them.
    """
    found: dict[str, str] = {}
    noted: dict[str, str] = {}
    for node in drawn_nodes(workflow or {}):
        for model in objects_in(object_at(node, "properties").get("models")):
            name, url = text_at(model, "name"), text_at(model, "url")
            if _is_address(url):
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
    for canvas in (document, *subgraphs_of(document)):
        yield from objects_in(canvas.get("nodes"))


def is_model_file(text: str) -> bool:
    """Whether a text is the name of a file of weights, by its ending."""
    return _MODEL.fullmatch(text) is not None


def _in_note(stored: Json) -> dict[str, str]:
    """The addresses in a note that end in the name of a model file."""
    texts = [one for one in stored if isinstance(one, str)] if isinstance(stored, list) else []
    urls = [url for text in texts for url in _URL.findall(text) if _is_address(url)]
    named = {_last_part(url): url for url in urls}
    return {name: url for name, url in named.items() if is_model_file(name)}


def _last_part(url: str) -> str:
    try:
        return unquote(urlsplit(url).path).rsplit("/", 1)[-1]
    except ValueError:  # no address after all, such as "http://["
        return ""


def _is_address(url: str) -> bool:
    return url.startswith(("https://", "http://")) and url.isprintable() and len(url) < 500
