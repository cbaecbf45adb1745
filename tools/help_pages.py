"""Writes into the nodes' help pages what the nodes know of themselves.

That is a page's title, its first paragraph (the node's description) and the sections of inputs,
outputs and weights, in both languages; what else stands on a page is written by hand and kept. A
page that is missing is begun. The pages BY_HAND are written by hand from end to end, since they say
more of each input. Write the others again after a change of a node's texts or settings, the texts
of `node_texts` first, with: python -m tools.help_pages
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import controlstack
from controlstack.preprocessors.registry import PREPROCESSORS
from controlstack.preprocessors.spec import Learning, Weights
from tools import hints_doc, node_texts
from tools.help_words import WORDS, Words
from tools.node_texts import LOCALES, inputs

DOCS = Path(controlstack.__file__).parent / controlstack.WEB_DIRECTORY / "docs"
NODES: Mapping[str, Any] = controlstack.NODE_CLASS_MAPPINGS
BY_HAND = (
    *("ControlStackLoader", "ControlStackAdd"),
    *("ControlStackApply", "ControlStackApplyConditioning"),
)
MADE = [node_id for node_id in NODES if node_id not in BY_HAND]
LEARNED = {entry.node: entry.learning for entry in PREPROCESSORS.values() if entry.learning}
WIDTH = 104
WIDGETS = ("BOOLEAN", "INT", "FLOAT", "STRING")
CONFIGS = ("config.json", "preprocessor_config.json")
"""What every folder of transformers has beside its weights."""


def path_of(node_id: str, language: str) -> Path:
    """Where ComfyUI's front end looks for a node's page."""
    return DOCS / (f"{node_id}.md" if language == "en" else f"{node_id}/{language}.md")


def texts_of(node_id: str, language: str) -> dict[str, Any]:
    """What the front end shows of a node."""
    path = LOCALES / language / "nodeDefs.json"
    texts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))[node_id]
    return texts


def page(node_id: str, language: str, now: str) -> str:
    """`now` with what the node knows of itself; "" is a new page, with headings to write under."""
    words, texts = WORDS[language], texts_of(node_id, language)
    begin, sections = _parts(now)
    made = {
        words.inputs: _input_lists(node_id, language),
        words.outputs: _output_list(node_id, language),
    }
    if node_id in LEARNED:
        made[words.weights] = _weights(LEARNED[node_id], words)
    else:
        sections.pop(words.weights, None)
    by_hand = {name: body for name, body in sections.items() if name not in made}
    whole = {**made, **(by_hand or {words.example: "", words.mistakes: ""})}
    first = texts["description"]
    blocks = [f"# {texts['display_name']}", _wrapped(first) if language == "en" else first]
    blocks += [begin] if begin else []
    blocks += [f"## {name}\n\n{body}".rstrip() for name, body in whole.items()]
    return "\n\n".join(blocks) + "\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _parts(now: str) -> tuple[str, dict[str, str]]:
    """What is written by hand before the first section, and heading -> body of all sections."""
    begin, *sections = re.split(r"^## ", now, flags=re.MULTILINE)
    _, _, after_title = begin.partition("\n\n")
    _, _, by_hand = after_title.partition("\n\n")
    named = (section.partition("\n") for section in sections)
    return by_hand.strip(), {name: body.strip() for name, _, body in named}


def _input_lists(node_id: str, language: str) -> str:
    """What is always in sight, then what the front end folds away."""
    words, found = WORDS[language], inputs(NODES[node_id])
    folded = [name for name, (_, options) in found.items() if options.get("advanced")]
    lists = [_input_list(node_id, language, [name for name in found if name not in folded])]
    if folded:
        lists += [f"### {words.advanced}", _input_list(node_id, language, folded)]
    return "\n\n".join(lists)


def _input_list(node_id: str, language: str, names: Iterable[str]) -> str:
    words, texts = WORDS[language], texts_of(node_id, language)["inputs"]
    specs = inputs(NODES[node_id])
    optional = NODES[node_id].INPUT_TYPES().get("optional", {})
    lines = []
    for name in names:
        kind, options = specs[name]
        default, span = _default_and_range(name, kind, options, words)
        linked = options.get("forceInput") or not (isinstance(kind, list) or kind in WIDGETS)
        facts = ["COMBO" if isinstance(kind, list) else kind]
        if linked:
            facts += [words.optional] if name in optional else []
        else:
            facts += [f"{words.default} {default}"] if default != "" else []
        lines.append(
            _line(_named(name, texts[name]["name"]), texts[name]["tooltip"], facts, span, words)
        )
    return "\n".join(lines)


def _line(name: str, text: str, facts: Iterable[str], span: str, words: Words) -> str:
    """One line of a list: the help panel is 290 pixels wide, which no table fits."""
    told = " · ".join([*facts, *([span] if span else [])])
    return f"- {name}{words.colon}{text}{words.space}*{told}*"


def _default_and_range(
    name: str, kind: Any, options: Mapping[str, Any], words: Words
) -> tuple[str, str]:
    if isinstance(kind, list) and name == "model":
        return words.of_this_machine, words.models
    if kind == []:  # files of this machine
        return "", ""
    if isinstance(kind, list):
        return options.get("default", kind[0]), ", ".join(kind)
    if kind == "BOOLEAN":
        return words.on if options["default"] else words.off, ""
    if kind in ("INT", "FLOAT") and "min" in options:
        low, high = (_number(options[end]) for end in ("min", "max"))
        return _number(options["default"]), f"{low} {words.to} {high}"
    if kind == "STRING":
        default = options.get("default", "")
        return (words.standing if default.startswith("{") else default), ""
    return "", ""


def _number(value: float) -> str:
    """As people write it: 1e-5 for what Python writes as 1e-05."""
    return str(value) if isinstance(value, int) else re.sub(r"e([+-])0*", _power, f"{value:g}")


def _power(found: re.Match[str]) -> str:
    return "e" + found[1].replace("+", "")


def _output_list(node_id: str, language: str) -> str:
    node, texts = NODES[node_id], texts_of(node_id, language)["outputs"]
    return "\n".join(
        _line(
            _named(name, texts[str(i)]["name"]),
            texts[str(i)]["tooltip"],
            [kind],
            "",
            WORDS[language],
        )
        for i, (name, kind) in enumerate(zip(node.RETURN_NAMES, node.RETURN_TYPES, strict=True))
    )


def _weights(learning: Learning, words: Words) -> str:
    lines = [_weights_line(one, "", words) for one in learning.models]
    lines += [_weights_line(one, words.needed_besides, words) for one in learning.also]
    blocks = ["\n".join(lines)]
    if learning.models[0].shipped is not None:
        return "\n\n".join([*blocks, words.shipped])
    if learning.models[0].is_folder:
        blocks.append(words.folders.format(*(f"`{file}`" for file in CONFIGS)))
    blocks.append(words.places)
    if learning.model_types:
        types = words.either.join(f"`{kind}`" for kind in learning.model_types)
        blocks.append(words.own_folders.format(types=types))
    return "\n\n".join(blocks)


def _weights_line(weights: Weights, note: str, words: Words) -> str:
    terms = weights.licence if weights.commercial else f"{weights.licence} ({words.not_commercial})"
    files = ", ".join(f"`{file}`" for file in weights.files if file not in CONFIGS)
    page = f"[{weights.name}](https://huggingface.co/{weights.repo})"
    link = (weights.name if weights.shipped is not None else page) + (f" ({note})" if note else "")
    return f"- {link}{words.colon}{files}, {weights.megabytes} MB, {terms}"


def _named(name: str, shown: str) -> str:
    return f"`{name}`" if shown == name else f"{shown} `{name}`"


def main() -> None:
    """Write the nodes' texts, all pages, and the table of `docs/hints.md`."""
    node_texts.main()
    for node_id in MADE:
        for language in WORDS:
            path = path_of(node_id, language)
            now = path.read_text(encoding="utf-8") if path.exists() else ""
            path.parent.mkdir(exist_ok=True)
            path.write_text(page(node_id, language, now), encoding="utf-8")
    print(f"{len(MADE)} nodes in {DOCS}")
    hints_doc.main()


if __name__ == "__main__":
    main()
