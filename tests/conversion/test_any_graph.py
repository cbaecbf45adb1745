"""Graphs by chance keep their meaning; workflows of any kind end in a sentence at worst."""

from __future__ import annotations

import random
from typing import Any

import pytest

from controlstack.conversion.convert import convert
from controlstack.ground.errors import UserError
from tests.conversion.graphs import Prompt, added, applied, check_links, drawn, meant, node, single
from tests.headless.graph.mutations import mutated

APPLY = "ControlNetApplyAdvanced"


def by_chance(rng: random.Random) -> tuple[Prompt, dict[str, int]]:
    """Apply nodes on one another's outputs in any way, with shared loaders, and samplers (9 ...)
    behind them; and which nodes are bypassed."""
    graph = {key: one for key, one in applied(0).items() if key in ("1", "2", "3", "4")}
    graph |= {str(30 + n): node("ControlNetLoader", control_net_name=f"{n}.sft") for n in range(3)}
    graph |= {str(40 + n): node("LoadImage", image=f"{n}.png") for n in range(2)}
    graph |= {
        str(50 + n): node(
            "SetUnionControlNetType",
            control_net=[str(30 + n), 0],
            type=rng.choice(["auto", "depth"]),
        )
        for n in range(2)
    }
    pairs = [(["2", 0], ["3", 0])]
    modes = {}
    for number in range(rng.randint(1, 7)):
        key = str(100 + number)
        positive, negative = pairs[-1] if rng.random() < 0.7 else rng.choice(pairs)
        if rng.random() < 0.15:
            negative = rng.choice(pairs)[0]
        graph[key] = node(
            APPLY,
            positive=list(positive),
            negative=list(negative),
            control_net=[rng.choice(["30", "31", "32", "50", "51"]), 0],
            image=[rng.choice(["40", "41"]), 0],
            strength=rng.choice([0.0, 0.5, 1.0]),
            start_percent=0.1 * number,
            end_percent=0.9,
            **({"vae": ["1", 2]} if rng.random() < 0.2 else {}),
        )
        pairs.append(([key, 0], [key, 1]))
        if rng.random() < 0.2:
            modes[f"n{key}"] = 4
    for number in range(rng.randint(1, 3)):
        positive, negative = pairs[-1] if number == 0 else rng.choice(pairs)
        inputs = {"model": ["1", 0], "latent_image": ["4", 0], "seed": 1}
        graph[str(9 + 191 * number)] = node(
            "KSampler", positive=list(positive), negative=list(negative), **inputs
        )
    if rng.random() < 0.3:
        graph["60"] = node("Other", control_net=[rng.choice(["30", "50"]), 0])
    return graph, modes


def means(prompt: Any) -> list[Any]:
    """What each sampler is given: its prompts with their controls, in the order of acting."""

    def value(link: Any) -> Any:
        one = prompt[str(link[0])]
        inputs, kind = one["inputs"], one["class_type"]
        if kind == APPLY:
            before = value(inputs["positive" if link[1] == 0 else "negative"])
            names = ("strength", "start_percent", "end_percent")
            control = (net(inputs["control_net"]), inputs["image"], *(inputs[n] for n in names))
            return (*before, control) if inputs["strength"] else before
        if kind == "ControlStackRows":
            if link[1] == 1:
                return (*(value(inputs["stack"]) if "stack" in inputs else ()), *controls(inputs))
            before = value(inputs["positive" if link[1] == 2 else "negative"])
            stack = value(inputs["stack"]) if "stack" in inputs else ()
            return (*before, *stack, *controls(inputs))
        return (link,)

    def controls(inputs: Any) -> Any:
        made = []
        for row in inputs["controls"]["rows"]:
            file = row["file"] or net(inputs[f"control_net_{row['id']}"])
            whole = (file, row["union_type"]) if "union_type" in row else file
            if row["on"] and row["strength"]:
                picture = inputs[f"hint_{row['id']}"]
                made.append((whole, picture, row["strength"], row["start"], row["end"]))
        return made

    def net(link: Any) -> Any:
        inputs = prompt[link[0]]["inputs"]
        if "type" in inputs and inputs["type"] != "auto":
            return net(inputs["control_net"]), inputs["type"]
        return net(inputs["control_net"]) if "type" in inputs else inputs["control_net_name"]

    return [
        [key, value(one["inputs"]["positive"]), value(one["inputs"]["negative"])]
        for key, one in prompt.items()
        if one["class_type"] == "KSampler"
    ]


@pytest.mark.parametrize("seed", range(60))
def test_a_graph_by_chance_means_the_same(seed: int) -> None:
    graph, modes = by_chance(random.Random(seed))
    made = convert(graph)
    assert not made.left
    assert means(made.document) == means(graph)
    assert APPLY not in [one["class_type"] for one in made.document.values()]
    back: Any = convert(made.document, "core")
    if not back.left:
        assert means(back.document) == means(graph)
    canvas = drawn(graph, **modes)
    assert means(meant(convert(canvas).document)) == means(meant(canvas))


@pytest.mark.parametrize("seed", range(40))
def test_a_workflow_of_any_kind(seed: int) -> None:
    rng = random.Random(seed)
    documents = [applied(2), single(1), added(2)]
    documents += [drawn(one) for one in documents]
    documents += [convert(one).document for one in documents]
    for document in documents:
        changed = mutated(document, rng, [APPLY, "ControlStackRows", "ControlStackAdd", "KSampler"])
        for to in ("stack", "nodes", "core"):
            try:
                made: Any = convert(changed, to)  # type: ignore[arg-type]
            except UserError:
                continue
            try:
                check_links(changed)
            except (AssertionError, LookupError, TypeError):
                continue
            check_links(made.document)
