"""Sockets that grow, and choices with inputs of their own, on core nodes: from file to result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.headless import host
from controlstack.headless.core_nodes import CORE_NODES
from controlstack.headless.folders import Folders
from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.registry import Registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import read_workflow

REGISTRY = Registry(CORE_NODES)


def shown(document: dict[str, Any], tmp_path: Path, key: str = "9") -> Any:
    graph = read_workflow(document, REGISTRY, "wf.json")
    validate(graph, REGISTRY)
    with host.use(Folders((), (), tmp_path, tmp_path)):
        return Executor(REGISTRY).run(graph).ui[key]["text"][0]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def test_a_text_filled_in(tmp_path: Path) -> None:
    prompt = {
        "1": node("PrimitiveInt", value=7),
        "2": node("PrimitiveString", value="é"),
        "3": node("StringFormat", f_string="{a:03} {c}", **{"values.a": ["1", 0]}),
        "9": node("PreviewAny", source=["3", 0]),
    }
    with pytest.raises(UserError, match=r"StringFormat.*nothing is wired to c, and to values is a"):
        shown(prompt, tmp_path)
    prompt["3"]["inputs"]["values.c"] = ["2", 0]
    assert shown(prompt, tmp_path) == "007 é"


def test_a_canvas_with_grown_sockets(tmp_path: Path) -> None:
    document = {
        "nodes": [
            {
                **{"id": 1, "type": "PrimitiveInt", "widgets_values": [7, "fixed"]},
                "outputs": [{"type": "INT"}],
            },
            {
                **{"id": 2, "type": "StringFormat", "widgets_values": ["<{b}>"]},
                "inputs": [
                    {"name": "values.a", "type": "*", "link": None},
                    {"name": "values.b", "type": "*", "link": 1},
                    {"name": "values.c", "type": "*", "link": None},
                    {"name": "f_string", "type": "STRING", "widget": {"name": "f_string"}},
                ],
                "outputs": [{"type": "STRING"}],
            },
            {
                **{"id": 9, "type": "PreviewAny", "widgets_values": []},
                "inputs": [{"name": "source", "type": "*", "link": 2}],
            },
        ],
        "links": [[1, 1, 0, 2, 1, "INT"], [2, 2, 0, 9, 0, "STRING"]],
    }
    assert shown(document, tmp_path) == "<7>"


def test_pictures_in_one_batch_at_a_size(tmp_path: Path) -> None:
    grey = {"batch_size": 1, "color": 0x808080}
    prompt = {
        "1": node("EmptyImage", width=30, height=20, **grey),
        "2": node("EmptyImage", width=10, height=40, **grey),
        "3": node("BatchImagesNode", **{"images.image0": ["1", 0], "images.image1": ["2", 0]}),
        "4": node(
            *("ResizeImageMaskNode",),
            **{"input": ["3", 0], "scale_method": "area", "resize_type": "scale longer dimension"},
            **{"resize_type.longer_size": 15},
        ),
        "5": node("GetImageSize", image=["4", 0]),
        "6": node(
            *("StringFormat",),
            f_string="{a}x{b}x{c}",
            **{f"values.{letter}": ["5", slot] for slot, letter in enumerate("abc")},
        ),
        "9": node("PreviewAny", source=["6", 0]),
    }
    assert shown(prompt, tmp_path) == "15x10x2"
    del prompt["3"]["inputs"]["images.image0"]
    with pytest.raises(UserError, match=r"BatchImagesNode.*images\.image0"):
        shown(prompt, tmp_path)


def test_lists_of_batches(tmp_path: Path) -> None:
    made = CORE_NODES["RebatchImages"]().run(images=[torch.zeros(3, 4, 4, 3)] * 2, batch_size=[4])
    assert [len(batch) for batch in made[0]] == [4, 2]
    unlike = [torch.zeros(1, 4, 4, 3), torch.zeros(1, 4, 5, 3)]
    with pytest.raises(UserError, match="pictures of 2 sizes, 5 x 4 among them"):
        CORE_NODES["RebatchImages"]().run(images=unlike, batch_size=[1])
    prompt = {
        "1": node("EmptyImage", width=8, height=8, batch_size=3, color=0),
        "2": node("RebatchImages", images=["1", 0], batch_size=2),
        "3": node("GetImageSize", image=["2", 0]),
        "9": node("PreviewAny", source=["3", 2]),
    }
    graph = read_workflow(prompt, REGISTRY, "wf.json")
    with host.use(Folders((), (), tmp_path, tmp_path)):
        assert Executor(REGISTRY).run(graph).ui["9"]["text"] == ["2", "1"]


@pytest.mark.parametrize(
    "text",
    [
        *("{a", "{a:q}", "{}", "{a.gone}", "{a.__class__}", "{a[_x]}", "{a:{a.__doc__}}"),
        "{a:1000000000000000}",
        "{a:>999999999999999999}",
    ],
)
def test_a_wrong_mark(text: str) -> None:
    with pytest.raises(UserError, match="cannot be filled in"):
        CORE_NODES["StringFormat"]().run(values={"a": "x"}, f_string=text)


def test_what_is_wired_but_lacks_what_is_read() -> None:
    node = CORE_NODES["StringFormat"]()
    with pytest.raises(UserError, match=r"'{a\[nope\]}' cannot be filled in: 'nope'"):
        node.run(values={"a": {"samples": 1}}, f_string="{a[nope]}")
    with pytest.raises(UserError, match="cannot be filled in"):
        node.run(values={"a": torch.zeros(1, 2, 3)}, f_string="{a.imag}")


def test_numbers() -> None:
    convert = CORE_NODES["ComfyNumberConvert"]()
    assert convert.run(value=" -2.9 ") == (-2.9, -2)
    for wrong in ("", "x", "inf", float("nan"), "9" * 400):
        with pytest.raises(UserError, match="is no number"):
            convert.run(value=wrong)


def test_what_leaves_no_picture() -> None:
    resize = CORE_NODES["ResizeImageMaskNode"]()
    rule = {"resize_type": "scale longer dimension", "longer_size": 0}
    with pytest.raises(UserError, match="leaves 0 x 0 pixels of a picture of 6 x 4"):
        resize.run(input=torch.zeros(1, 4, 6), resize_type=rule, scale_method="area")
    latents = [{"samples": torch.zeros(1, 4, 5, width)} for width in (6, 7)]
    with pytest.raises(UserError, match="do not fit along y"):
        CORE_NODES["LatentConcat"]().run(samples1=latents[0], samples2=latents[1], dim="y")
    assert "multiplier is 0" in CORE_NODES["LatentOperationTonemapReinhard"].VALIDATE_INPUTS(0)


@pytest.mark.parametrize(
    ("formula", "problem"),
    [
        ("", "the expression is empty"),
        ("a +", "cannot be computed: .*wired are a, b"),
        ("a + z", "cannot be computed: .*'z'"),
        ("a / 0", "cannot be computed: .*zero"),
        ("sqrt(-1)", "cannot be computed"),
        ("pow(2, 4001)", "an exponent is larger than 4000"),
        ("pow(pow(9, 4000), 4000)", "a power is too large"),
        ("a @ b", "it has an operator that formulas lack"),
        ("2 ** 9999999", "cannot be computed"),
        ("values[9]", "cannot be computed"),
        ("a.__class__", "cannot be computed"),
        ("__import__('os')", "cannot be computed"),
        ("'a' * 3", "comes to a str; it has to come to a number"),
        ("(-8) ** 0.5", "comes to a complex"),
        ("10 ** 400", "no finite number"),
        ("1e308 * 10", "no finite number"),
    ],
)
def test_a_wrong_formula(formula: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        CORE_NODES["ComfyMathExpression"]().run(expression=formula, values={"a": 1.0, "b": 2.0})


@pytest.mark.parametrize("formula", ["a\n+ 100", "a; b", "c = a"])
def test_of_several_formulas_the_first_is_computed(
    formula: str, caplog: pytest.LogCaptureFixture
) -> None:
    node = CORE_NODES["ComfyMathExpression"]()
    assert node.run(expression=formula, values={"a": 3, "b": 4}) == (3.0, 3, True)
    assert "computes the first formula of" in caplog.text


def test_a_formula_in_a_graph(tmp_path: Path) -> None:
    prompt = {
        "1": node("PrimitiveInt", value=7),
        "2": node("PrimitiveFloat", value=0.5),
        "3": node(
            *("ComfyMathExpression",),
            expression="a * b",
            **{"values.a": ["1", 0], "values.b": ["2", 0]},
        ),
        "9": node("PreviewAny", source=["3", 1]),
    }
    assert shown(prompt, tmp_path) == "3"
    prompt["9"]["inputs"]["source"] = ["3", 0]
    assert shown(prompt, tmp_path) == "3.5"
