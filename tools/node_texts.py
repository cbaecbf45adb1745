"""Every text of every node in the shape of ComfyUI's `nodeDefs.json`, in both languages.

`locales/en/nodeDefs.json` is made from the nodes and `locales/zh/nodeDefs.json` from that and
`locales/chinese.json`, which says each English text once in Chinese, so that no text is written
twice. Write them again after a change of a node's texts, the help pages with
them, with: python -m tools.help_pages

A text that means two things has the node's id before it in `chinese.json`: "ControlStackAdd.image".
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import controlstack
from controlstack.headless.graph.registry import DYNAMIC_COMBO

LOCALES = Path(__file__).parents[1] / "locales"
CHINESE = LOCALES / "chinese.json"

_LATER = re.compile(r"_(?!1$)\d+$")

ALIKE = 0.7
"""How alike an English text and its changed form are at least, of 1."""

Texts = dict[str, Any]


def node_texts() -> dict[str, Texts]:
    """Node id -> what the front end shows of it."""
    names = controlstack.NODE_DISPLAY_NAME_MAPPINGS
    return {
        node_id: {"display_name": names[node_id], **_texts(node)}
        for node_id, node in controlstack.NODE_CLASS_MAPPINGS.items()
    }


def chinese_texts(chinese: Mapping[str, str]) -> dict[str, Texts]:
    """`node_texts` in Chinese. Raises KeyError for a text that `chinese` does not have."""
    return {
        node_id: _translated(texts, node_id, chinese) for node_id, texts in node_texts().items()
    }


def read_chinese() -> dict[str, str]:
    """English -> Chinese."""
    known: dict[str, str] = json.loads(CHINESE.read_text(encoding="utf-8"))
    return known


def keys(chinese: Mapping[str, str]) -> list[str]:
    """The keys of `chinese.json` that the nodes need, each once."""
    return list(
        dict.fromkeys(
            _key(text, node_id, chinese)
            for node_id, texts in node_texts().items()
            for text in _leaves(texts)
        )
    )


def inputs(node: Any) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Input name -> its type and options: the required ones, then the optional ones. Of numbered
    ones (`hint_1`, `hint_2` ...) the first: the others are the same again."""
    groups = node.INPUT_TYPES()
    every = {**groups.get("required", {}), **groups.get("optional", {})}
    return {name: (_menu(spec), spec[1]) for name, spec in every.items() if not _LATER.search(name)}


def _menu(spec: tuple[Any, dict[str, Any]]) -> Any:
    """An input's type; a menu that brings inputs is one of its choices."""
    kind, words = spec
    return [one["key"] for one in words["options"]] if kind == DYNAMIC_COMBO else kind


def _brought(node: Any) -> dict[str, str]:
    """What the front end looks for -> the name of each input that a menu brings. It shows their
    tooltips as they are."""
    return {
        f"{menu}_{name}": name
        for menu, (_, words) in inputs(node).items()
        for one in words.get("options", ())
        for group in (one["inputs"].values() if isinstance(one, dict) else ())
        for name in group
    }


def _texts(node: Any) -> Texts:
    outputs = zip(node.RETURN_NAMES, node.OUTPUT_TOOLTIPS, strict=True)
    return {
        "description": node.DESCRIPTION,
        "inputs": {
            name: {"name": name, "tooltip": spec[1]["tooltip"]}
            for name, spec in inputs(node).items()
        }
        | {key: {"name": name} for key, name in _brought(node).items()},
        "outputs": {str(i): {"name": n, "tooltip": t} for i, (n, t) in enumerate(outputs)},
    }


def _leaves(texts: Texts) -> Iterator[str]:
    for value in texts.values():
        if isinstance(value, dict):
            yield from _leaves(value)
        else:
            yield value


def _key(text: str, node_id: str, chinese: Mapping[str, str]) -> str:
    own = f"{node_id}.{text}"
    return own if own in chinese else text


def _translated(texts: Texts, node_id: str, chinese: Mapping[str, str]) -> Texts:
    return {
        key: _translated(value, node_id, chinese)
        if isinstance(value, dict)
        else chinese[_key(value, node_id, chinese)]
        for key, value in texts.items()
    }


def followed(known: Mapping[str, str], needed: Sequence[str]) -> dict[str, str]:
    """`known` with the keys that are `needed` and no others, in that order.

    Where an English text was changed a little, its Chinese goes with it, to be read over; what is
    in no way known is named and left out.
    """
    spare = [key for key in known if key not in needed]
    found: dict[str, str] = {}
    for key in needed:
        old = [key] if key in known else difflib.get_close_matches(key, spare, 1, ALIKE)
        if not old:
            print(f"No Chinese in {CHINESE.name} for: {key}")
            continue
        found[key] = known[old[0]]
        if old[0] != key:
            spare.remove(old[0])
            print(f"Read the Chinese over: {found[key]}\n  was: {old[0]}\n  is:  {key}")
    return found


def _write(path: Path, texts: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(texts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)


def main() -> None:
    """Write the texts; what Chinese lacks is named."""
    _write(LOCALES / "en" / "nodeDefs.json", node_texts())
    known = read_chinese()
    needed = keys(known)
    chinese = followed(known, needed)
    if len(chinese) < len(needed):
        sys.exit(f"Write them there, and run this again; {CHINESE.name} stays as it is.")
    _write(CHINESE, chinese)
    _write(LOCALES / "zh" / "nodeDefs.json", chinese_texts(chinese))


if __name__ == "__main__":
    main()
