"""In the real front end: Any Hint (with settings) has the settings of what is chosen in it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import read_workflow
from controlstack.nodes.hints import WITH_SETTINGS
from tests.comfyui.browser import MISSING, Page
from tests.comfyui.conftest import has_dynamic_combos
from tests.comfyui.server import PACK, Server
from tests.comfyui.test_hints_seen import at

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(not has_dynamic_combos(), reason="this ComfyUI has no DynamicCombo"),
]

NODE = WITH_SETTINGS
PICTURE = "controlstack_scene.png"
CANNY = {"preprocessor": "canny", "low_threshold": 100, "high_threshold": 200}
SCRIBBLE = {"preprocessor": "scribble", "threshold": 127}
SHARED = {"resolution": 0, "fit": "fill", "download": False, "width": 0, "height": 0}

_DRAW = """
app.graph.clear()
const add = (type, x, y) => {
  const node = LiteGraph.createNode(type)
  node.pos = [x, y]
  app.graph.add(node)
  return node
}
const [type, picture] = arguments
const photo = add('LoadImage', 60, 140)
photo.widgets[0].value = picture
const hint = add(type, 440, 140)
const shown = add('PreviewImage', 860, 140)
photo.connect(0, hint, 0)
hint.connect(0, shown, 0)
app.canvas.ds.scale = 1
app.canvas.ds.offset = [60, 60]
return [hint.id, shown.id]
"""

_PLACE = """
const [id, name] = arguments
const node = app.graph.getNodeById(id), widget = node.widgets.find(w => w.name === name)
const {scale, offset} = app.canvas.ds, box = app.canvas.canvas.getBoundingClientRect()
const height = widget.computedHeight ?? LiteGraph.NODE_WIDGET_HEIGHT
return [box.left + (node.pos[0] + node.size[0] * 0.7 + offset[0]) * scale,
  box.top + (node.pos[1] + widget.y + height / 2 + offset[1]) * scale]
"""
"""Where a field's value is drawn on the canvas, in the window."""


def fresh(page: Page) -> tuple[int, int]:
    """A photo, its hint and a preview; the ids of the last two."""
    page.open(page.driver.current_url, NODE)
    hint, shown = page.js(_DRAW, NODE, PICTURE)
    page._settle()
    page.complaints(PACK)
    return hint, shown


def press(page: Page, x: float, y: float, *, times: int = 1) -> None:
    """Real clicks at a place in the window."""
    from selenium.webdriver.common.actions.action_builder import ActionBuilder

    builder = ActionBuilder(page.driver)
    builder.pointer_action.move_to_location(round(x), round(y))
    for _ in range(times):
        builder.pointer_action.click()
    builder.perform()
    page._settle()


def choose(page: Page, hint: int, now: str, name: str) -> None:
    """Pick a preprocessor in the menu with the mouse."""
    if page.drawn_by_vue():
        page.click(f"//*[@data-node-id='{hint}']//*[@role='combobox'][contains(.,'{now}')]")
        page.click(f"//*[@role='option'][normalize-space(.)='{name}']")
    else:
        press(page, *page.js(_PLACE, hint, "preprocessor"))
        page.click(f"//*[contains(@class,'litemenu-entry')][normalize-space(.)='{name}']")
    page._settle()


def write(page: Page, hint: int, name: str, value: int) -> None:
    """Type a number into a field."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    if page.drawn_by_vue():
        over = "*[contains(@class,'cursor-ew-resize')]"  # which lies over the field to be dragged
        page.click(f"//*[@data-node-id='{hint}']//*[@aria-label='{name}']//{over}")
    else:
        press(page, *page.js(_PLACE, hint, name))
        page.until(lambda: page.js("return !!document.querySelector('.graphdialog input')"), "it")
    keys = ActionChains(page.driver).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL)
    keys.send_keys(f"{value}", Keys.ENTER).perform()
    page._settle()


def fields(page: Page) -> list[str]:
    return dict(page.fields())[NODE]


def names(values: dict[str, Any]) -> list[str]:
    """How the front end calls a choice and its settings."""
    return [key if key == "preprocessor" else f"preprocessor.{key}" for key in values]


def sent(page: Page) -> dict[str, Any]:
    """What the API prompt has of the node, wires aside."""
    _, prompt = page.saved()
    (inputs,) = [node["inputs"] for node in prompt.values() if node["class_type"] == NODE]
    return {key: value for key, value in inputs.items() if not isinstance(value, list)}


def expected(values: dict[str, Any]) -> dict[str, Any]:
    return {**dict(zip(names(values), values.values(), strict=True)), **SHARED}


def test_it_has_the_settings_of_what_is_chosen(page: Page, tmp_path: Path) -> None:
    hint, _ = fresh(page)
    assert fields(page) == [*names(CANNY), *SHARED]
    assert sent(page) == expected(CANNY)
    choose(page, hint, "canny", "scribble")
    page.screenshot(tmp_path / "chosen.png")
    assert fields(page) == [*names(SCRIBBLE), *SHARED]
    write(page, hint, "preprocessor.threshold", 90)
    page.screenshot(tmp_path / "written.png")
    assert sent(page) == expected({**SCRIBBLE, "threshold": 90})
    assert page.complaints(PACK) == []


def test_it_is_saved_and_opened_again_the_same(page: Page, tmp_path: Path) -> None:
    hint, _ = fresh(page)
    choose(page, hint, "canny", "scribble")
    write(page, hint, "preprocessor.threshold", 90)
    page.js("app.graph.getNodeById(arguments[0]).widgets.at(-1).value = 64", hint)
    canvas, prompt = page.saved()
    page.open(page.driver.current_url, NODE)
    page.complaints(PACK)
    page.open_graph(canvas)
    page.screenshot(tmp_path / "again.png")
    again, prompt_again = page.saved()
    assert prompt_again == prompt
    assert fields(page) == [*names(SCRIBBLE), *SHARED]
    kept, now = (
        [(n["type"], n.get("widgets_values"), n.get("widgets_values_named")) for n in one["nodes"]]
        for one in (canvas, again)
    )
    assert now == kept
    for drawn in (canvas, {**canvas, "nodes": [_unnamed(node) for node in canvas["nodes"]]}):
        read = read_workflow(json.loads(json.dumps(drawn)), default_registry(), "canvas")
        assert _values(read.prompt()[str(hint)]) == _values(prompt[str(hint)])
    assert page.complaints(PACK) == []


def _unnamed(node: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key != "widgets_values_named"}


def _values(node: Any) -> dict[str, Any]:
    inputs: dict[str, Any] = node["inputs"]
    return inputs


def test_it_is_copied_with_its_settings(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    hint, _ = fresh(page)
    choose(page, hint, "canny", "scribble")
    write(page, hint, "preprocessor.threshold", 90)
    press(page, *at(page, hint))
    for letter in "cv":
        keys = ActionChains(page.driver).key_down(Keys.CONTROL).send_keys(letter)
        keys.key_up(Keys.CONTROL).perform()
        page._settle()
    values = page.js(
        "return app.graph._nodes.filter(n => n.type === arguments[0])"
        ".map(n => n.widgets.filter(w => w.name.includes('.')).map(w => [w.name, w.value]))",
        NODE,
    )
    assert values == [[["preprocessor.threshold", 90]]] * 2


@pytest.mark.parametrize("inside", [False, True], ids=["wire", "wire in a subgraph"])
def test_a_setting_comes_through_a_wire(page: Page, server: Server, inside: bool) -> None:
    hint, _ = fresh(page)
    choose(page, hint, "canny", "scribble")
    page.js(
        """
        const [id, inside] = arguments, node = app.graph.getNodeById(id)
        const number = LiteGraph.createNode('PrimitiveInt')
        number.pos = [60, 640]
        app.graph.add(number)
        number.widgets[0].value = 90
        number.connect(0, node, node.inputs.findIndex(i => i.name === 'preprocessor.threshold'))
        if (inside) app.graph.convertToSubgraph(new Set([node]))
        """,
        *(hint, inside),
    )
    page._settle()
    canvas, prompt = page.saved()
    read = read_workflow(json.loads(json.dumps(canvas)), default_registry(), "canvas").prompt()
    (key,) = [key for key, node in prompt.items() if node["class_type"] == NODE]
    assert isinstance(prompt[key]["inputs"]["preprocessor.threshold"], list)
    assert _values(read[key]) == _values(prompt[key])
    prompt["90"] = {"class_type": NODE, "inputs": {**prompt[key]["inputs"]}}
    prompt["90"]["inputs"]["preprocessor.threshold"] = 90
    prompt["900"] = {"class_type": "PreviewImage", "inputs": {"images": ["90", 0]}}
    run = server.run(read_workflow(json.loads(json.dumps(prompt)), default_registry(), "page"))
    (shown,) = [k for k, n in prompt.items() if n["inputs"].get("images") == [key, 0]]
    assert _pixels(server, run.outputs[shown]) == _pixels(server, run.outputs["900"])


def test_its_settings_are_kept_inside_of_a_subgraph(page: Page) -> None:
    hint, _ = fresh(page)
    choose(page, hint, "canny", "scribble")
    write(page, hint, "preprocessor.threshold", 90)
    page.js(
        "app.graph.convertToSubgraph(new Set([app.graph.getNodeById(arguments[0])]))",
        hint,
    )
    page._settle()
    assert sent(page) == expected({**SCRIBBLE, "threshold": 90})
    canvas, prompt = page.saved()
    page.open(page.driver.current_url, NODE)
    page.open_graph(canvas)
    assert page.saved()[1] == prompt
    read = read_workflow(json.loads(json.dumps(canvas)), default_registry(), "canvas").prompt()
    (key,) = [key for key, node in prompt.items() if node["class_type"] == NODE]
    assert _values(read[key]) == _values(prompt[key])


def test_its_picture_is_that_of_the_preprocessor_s_own_node(page: Page, server: Server) -> None:
    hint, shown = fresh(page)
    choose(page, hint, "canny", "scribble")
    write(page, hint, "preprocessor.threshold", 90)
    _, prompt = page.saved()
    own = {"class_type": "ControlStackScribble", "inputs": {"threshold": 90, "image": ["1", 0]}}
    plain = {"class_type": "ControlStackScribble", "inputs": {"image": ["1", 0]}}
    for key, node in (("91", own), ("92", plain)):
        show = {"class_type": "PreviewImage", "inputs": {"images": [key, 0]}}
        prompt |= {key: node, f"{key}0": show}
    photo = next(key for key, node in prompt.items() if node["class_type"] == "LoadImage")
    for key in ("91", "92"):
        prompt[key]["inputs"]["image"] = [photo, 0]
    run = server.run(read_workflow(json.loads(json.dumps(prompt)), default_registry(), "page"))
    drawn = [_pixels(server, run.outputs[key]) for key in (str(shown), "910", "920")]
    assert drawn[0] == drawn[1] != drawn[2]


def _pixels(server: Server, told: Any) -> bytes:
    with Image.open(io.BytesIO(server.picture(told["images"][0]))) as picture:
        return picture.convert("RGB").tobytes()


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"preprocessor": "teapot"}, "There is no preprocessor 'teapot'"),
        ({"preprocessor": "teed"}, "7_model.pth"),
    ],
)
def test_what_cannot_run_is_refused(
    page: Page, server: Server, inputs: dict[str, Any], sentence: str
) -> None:
    fresh(page)
    _, prompt = page.saved()
    for node in prompt.values():
        if node["class_type"] == NODE:
            node["inputs"].update(inputs)
    answer = server.post("/prompt", {"prompt": prompt})
    assert answer.status == 400
    assert sentence in json.dumps(answer.json["node_errors"])
