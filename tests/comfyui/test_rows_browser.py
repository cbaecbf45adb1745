"""ControlNet Stack in the real front end: by mouse, keyboard and touch, and what comes of it."""

from __future__ import annotations

import copy
import io
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import read_workflow
from tests.comfyui import shipped
from tests.comfyui.browser import MISSING, Page
from tests.comfyui.server import PACK, Server

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

NODE = "ControlStackRows"
DEPTH, POSE = (
    "control_v11f1p_sd15_depth_fp16.safetensors",
    "control_v11p_sd15_openpose_fp16.safetensors",
)
HINTS = ("controlstack_depth.png", "controlstack_scene.png")
SIDE, STEPS = 64, 3
ITS_OWN = ("graph accessed before initialization", "Jobs API", "JobsApiError")
"""What the front end says where a test asks for its graph too early, and of prompts that did not
come from it."""

DRAW = """
const [hints, side, steps] = arguments
app.graph.clear()
const add = (type, x, y, values = {}) => {
  const node = LiteGraph.createNode(type)
  app.graph.add(node)
  node.pos = [x, y]
  for (const name in values) node.widgets.find(w => w.name === name).value = values[name]
  return node
}
const wire = (from, slot, to, name) =>
  from.connect(slot, to, to.inputs.findIndex(i => i.name === name))
const model = add('CheckpointLoaderSimple', -700, 0)
const stack = add('ControlStackRows', 0, 0)
const sampler = add('KSampler', 600, 0, {seed: 7, steps, scheduler: 'normal'})
const control = sampler.widgets.find(w => w.name === 'control_after_generate')
if (control) control.value = 'fixed'
wire(model, 0, stack, 'model'); wire(stack, 0, sampler, 'model')
for (const [text, name] of [['a dancer', 'positive'], ['', 'negative']]) {
  const prompt = add('CLIPTextEncode', 200, name === 'positive' ? -400 : -200, {text})
  wire(model, 1, prompt, 'clip'); wire(prompt, 0, sampler, name)
}
wire(add('EmptyLatentImage', 300, 800, {width: side, height: side}), 0, sampler, 'latent_image')
const decode = add('VAEDecode', 950, 0), save = add('SaveImage', 1200, 0)
wire(sampler, 0, decode, 'samples'); wire(model, 2, decode, 'vae'); wire(decode, 0, save, 'images')
const pictures = hints.map((image, i) => {
  const file = add('LoadImage', -700, 200 + 400 * i, {image})
  const values = {width: side, height: side, upscale_method: 'area'}
  const small = add('ImageScale', -350, 200 + 300 * i, values)
  wire(file, 0, small, 'image')
  return small
})
wire(pictures[0], 0, stack, 'hint_1')
window.pictures = pictures
app.canvas.ds.scale = 1
app.canvas.ds.offset = [420, 260]
app.graph.setDirtyCanvas(true, true)
"""


@dataclass(frozen=True)
class Hand:
    """A person at the node: what is clicked, dragged and typed."""

    page: Page

    def element(self, key: str) -> Any:
        """The part of a row with this key, such as "1 strength"."""
        return self.page.until(
            lambda: self.page.driver.find_element("css selector", f'.cs-rows [data-key="{key}"]'),
            f"the part {key}",
        )

    def click(self, key: str) -> None:
        self._again(lambda: self._actions().click(self.element(key)).perform())

    def choose(self, key: str, value: str) -> None:
        from selenium.webdriver.support.ui import Select

        self._again(lambda: Select(self.element(key)).select_by_value(value))

    def _again(self, act: Callable[[], None]) -> None:
        """Until it is done: rows are drawn anew when a wire comes."""
        self.page.until(lambda: act() is None, "a part that stays")

    def type(self, key: str, text: str) -> None:
        from selenium.webdriver.common.keys import Keys

        self._actions().double_click(self.element(key)).perform()
        self.element(key).send_keys(Keys.CONTROL, "a")
        self.element(key).send_keys(text, Keys.ENTER)

    def press(self, key: str, *keys: str) -> None:
        self.element(key).send_keys(*keys)

    def drag(self, key: str, x: float, y: float = 0) -> None:
        """From the middle of a part, so many pixels of the screen."""
        actions = self._actions().click_and_hold(self.element(key))
        actions.move_by_offset(x / 2, y / 2).move_by_offset(x - x / 2, y - y / 2)
        actions.release().perform()

    def box(self, selector: str) -> dict[str, float]:
        box = "return document.querySelector(arguments[0])?.getBoundingClientRect().toJSON()"
        found: dict[str, float] = self.page.until(lambda: self.page.js(box, selector), selector)
        return found

    def touch(self, key: str, x: float) -> None:
        """A finger that drags a part aside."""
        rect = self.element(key).rect
        at = {"x": rect["x"] + rect["width"] / 2, "y": rect["y"] + rect["height"] / 2}
        for kind, by in (("touchStart", 0.0), ("touchMove", x / 2), ("touchMove", x)):
            points = [{"x": at["x"] + by, "y": at["y"]}]
            self._finger(kind, points)
        self._finger("touchEnd", [])

    def _finger(self, kind: str, points: list[dict[str, float]]) -> None:
        self.page.driver.execute_cdp_cmd(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
        )

    def _actions(self) -> Any:
        from selenium.webdriver import ActionChains

        return ActionChains(self.page.driver, duration=50)

    @property
    def value(self) -> Any:
        """The node's value in the API prompt."""
        return self.inputs["controls"]

    @property
    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.value["rows"]
        return rows

    @property
    def inputs(self) -> dict[str, Any]:
        """All inputs of the node in the API prompt."""
        _, prompt = self.page.saved()
        (found,) = (node["inputs"] for node in prompt.values() if node["class_type"] == NODE)
        inputs: dict[str, Any] = found
        return inputs

    @property
    def sources(self) -> dict[str, str]:
        """What is wired to the node, by input: the kinds of nodes, for files are numbered anew."""
        _, prompt = self.page.saved()
        return {
            name: prompt[wire[0]]["class_type"]
            for name, wire in self.inputs.items()
            if isinstance(wire, list)
        }


@pytest.fixture
def hand(page: Page) -> Iterator[Hand]:
    """A fresh graph with one row, and no error in the console at the end."""
    page.open(page.driver.current_url, NODE)
    version = page.js("return window.__COMFYUI_FRONTEND_VERSION__")
    if version.startswith("1.27.") and page.js("return LiteGraph.vueNodesMode"):
        pytest.skip(f"the Nodes 2.0 of front end {version} draw no pack's own widgets")
    page.js(DRAW, HINTS, SIDE, STEPS)
    page.complaints(PACK)
    yield Hand(page)
    said = page.complaints(PACK)
    assert [one for one in said if not any(own in one for own in ITS_OWN)] == []


def pixels(server: Server, prompt: dict[str, Any]) -> Any:
    """The picture of an API prompt."""
    graph = read_workflow(prompt, default_registry(), "prompt")
    run = server.run(graph)
    (saved,) = run.outputs[shipped.only(graph, "SaveImage")]["images"]
    return np.asarray(Image.open(io.BytesIO(server.picture(saved))))


def with_old_nodes(prompt: dict[str, Any], *adds: dict[str, Any]) -> dict[str, Any]:
    """The prompt with a chain of Add ControlNet of these inputs instead of the rows."""
    made = copy.deepcopy(prompt)
    (key,) = (key for key, node in made.items() if node["class_type"] == NODE)
    wires = made.pop(key)["inputs"]
    before: list[Any] | None = None
    for number, one in enumerate(adds):
        inputs = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0, **one}
        file, hint = inputs.pop("file"), inputs.pop("hint")
        made[f"net{number}"] = {
            "class_type": "ControlStackLoader",
            "inputs": {"control_net_name": file},
        }
        inputs |= {"control_net": [f"net{number}", 0], "image": wires[hint]}
        if before:
            inputs["stack"] = before
        made[f"add{number}"] = {"class_type": "ControlStackAdd", "inputs": inputs}
        before = [f"add{number}", 0]
    apply = {
        "class_type": "ControlStackApply",
        "inputs": {"model": wires["model"], "stack": before},
    }
    made[key] = apply
    return made


def wire_second(page: Page) -> None:
    page.js(
        "const [node] = app.graph.findNodesByType(arguments[0]);"
        "window.pictures[1].connect(0, node, node.inputs.findIndex(i => i.name === 'hint_2'))",
        NODE,
    )


def test_rows_by_mouse_make_the_picture_of_the_old_nodes(
    hand: Hand, server: Server, tmp_path: Path
) -> None:
    page = hand.page
    hand.click("add")
    wire_second(page)
    hand.choose("1 file", DEPTH)
    hand.choose("2 file", POSE)
    hand.type("2 strength", "0.8")
    hand.drag("2 end", -hand.box(".cs-bar")["width"] * 0.4)
    hand.drag("1 grip", 0, hand.box(".cs-row")["height"])
    page.screenshot(tmp_path / "rows.png")
    first, second = hand.rows
    end = first.pop("end")
    assert first == {"id": 2, "on": True, "file": POSE, "strength": 0.8, "start": 0}
    assert second == {"id": 1, "on": True, "file": DEPTH, "strength": 1, "start": 0, "end": 1}
    assert end == pytest.approx(0.6, abs=0.05)
    drawn, prompt = page.saved()
    inputs = hand.inputs
    assert {"hint_1", "hint_2", "model", "controls", "record"} == set(inputs)
    old = with_old_nodes(
        prompt,
        {"file": POSE, "hint": "hint_2", "strength": 0.8, "end_percent": end},
        {"file": DEPTH, "hint": "hint_1"},
    )
    made = pixels(server, prompt)
    np.testing.assert_array_equal(made, pixels(server, old))
    weak = copy.deepcopy(prompt)
    next(n for n in weak.values() if n["class_type"] == NODE)["inputs"]["controls"]["rows"] = [
        first
    ]
    assert not np.array_equal(made, pixels(server, weak))
    # Saved and opened again it is the same.
    page.open_graph(drawn)
    assert page.saved()[1] == prompt


def test_switched_duplicated_and_removed(hand: Hand) -> None:
    hand.click("1 on")
    hand.click("1 more")
    hand.click("1 copy")
    assert [(row["id"], row["on"]) for row in hand.rows] == [(1, False), (2, False)]
    assert {"hint_1"} == {name for name in hand.inputs if name.startswith("hint")}
    hand.click("1 remove")
    assert [row["id"] for row in hand.rows] == [2]
    assert not [name for name in hand.inputs if name.startswith("hint")]


def test_by_keyboard(hand: Hand) -> None:
    from selenium.webdriver.common.keys import Keys

    hand.click("add")
    hand.press("1 start", *[Keys.ARROW_RIGHT] * 3)
    hand.press("1 end", Keys.PAGE_DOWN)
    hand.press("1 grip", Keys.ARROW_DOWN)
    assert [row["id"] for row in hand.rows] == [2, 1]
    assert (hand.rows[1]["start"], hand.rows[1]["end"]) == (0.03, 0.9)
    # The focus stays on what was moved, and Delete is not the node's end.
    hand.page.driver.switch_to.active_element.send_keys(Keys.ARROW_UP, Keys.DELETE)
    assert [row["id"] for row in hand.rows] == [1, 2]


def test_a_number_that_is_typed_and_left(hand: Hand) -> None:
    """By the mouse, whose click has to be taken, by Tab, and by running it at once."""
    from selenium.webdriver.common.keys import Keys

    page = hand.page

    def typed(text: str) -> None:
        hand._actions().double_click(hand.element("1 strength")).perform()
        hand.element("1 strength").send_keys(Keys.CONTROL, "a")
        hand.element("1 strength").send_keys(text)

    typed("0.3")
    hand._actions().click(hand.element("add")).perform()
    assert [row["strength"] for row in hand.rows] == [0.3, 1]
    typed("0.4")
    hand._actions().click(hand.element("1 on")).perform()
    assert (hand.rows[0]["strength"], hand.rows[0]["on"]) == (0.4, False)
    typed("0.5")
    hand._actions().send_keys(Keys.TAB).perform()
    page._settle()
    assert page.js("return document.activeElement.dataset.key") == "1 start"
    page.js(
        "window.sent = []; app.api.queuePrompt = async (_, {output}) => {"
        " const own = Object.values(output).find(n => n.class_type === arguments[0]);"
        " sent.push(own.inputs.controls);"
        " return {node_errors: {}} }",
        NODE,
    )
    typed("0.7")
    hand._actions().key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
    (sent,) = page.until(lambda: page.js("return window.sent"), "a prompt")
    assert sent["rows"][0]["strength"] == 0.7


def test_by_touch(hand: Hand) -> None:
    hand.touch("1 end", -hand.box(".cs-bar")["width"] * 0.3)
    assert hand.rows[0]["end"] == pytest.approx(0.7, abs=0.06)


def test_a_curve_is_drawn_in_the_timeline(hand: Hand, server: Server, tmp_path: Path) -> None:
    page = hand.page
    hand.choose("1 file", DEPTH)
    hand.click("time")
    hand.click("1 more")
    hand.choose("1 curve", "fade out")
    box = hand.box(".cs-time")
    hand.drag("1 point 1", -box["width"] * 0.5, -box["height"] * 0.4)
    page.screenshot(tmp_path / "timeline.png")
    curve = hand.rows[0]["curve"]
    (place, strength) = curve["points"][1]
    assert place == pytest.approx(0.5, abs=0.03)
    assert strength == pytest.approx(0.5, abs=0.08)
    _, prompt = page.saved()
    text = ", ".join(f"{at}:{by}" for at, by in curve["points"])
    old = with_old_nodes(prompt, {"file": DEPTH, "hint": "hint_1", "factor": ["curve", 0]})
    inputs = {"preset": "points", "points": text, "between": "linear", "over": "percent"}
    old["curve"] = {"class_type": "ControlStackCurve", "inputs": inputs}
    np.testing.assert_array_equal(pixels(server, prompt), pixels(server, old))


def test_steps_are_those_of_the_sampler_downstream(hand: Hand) -> None:
    page = hand.page
    words = "return document.querySelector('.cs-words')?.textContent"
    page.until(
        lambda: page.js(words) == f"0 – 100 % · ≈ steps 0 to {STEPS} of {STEPS}", "its steps"
    )
    hand.type("1 strength", "0.5")
    page.js(
        "const [k] = app.graph.findNodesByType('KSampler');"
        "k.widgets.find(w => w.name === 'steps').value = 5"
    )
    hand.press("1 end", *"\ue010")  # End
    page.until(lambda: "steps 0 to 5 of 5" in page.js(words), "five steps")


def test_what_a_run_tells_is_shown(hand: Hand) -> None:
    """The hint that went in, and steps counted on the model's own noise levels."""
    page = hand.page
    page.js(
        "window.seen = []; app.api.addEventListener('progress', () => requestAnimationFrame(() =>"
        " document.querySelector('.cs-now') && window.seen.push(1)))"
    )
    hand.type("1 strength", f"{random.random():.2f}")  # what is known already tells nothing
    hand.click("time")
    page.click("//button[normalize-space(.)='Run']")
    words = "return document.querySelector('.cs-words')?.textContent"
    page.until(
        lambda: page.js(words) == f"0 – 100 % · steps 0 to {STEPS} of {STEPS}", "exact steps"
    )
    shown = page.js("return document.querySelector('.cs-hint').style.backgroundImage")
    assert shown.startswith('url("data:image/jpeg;base64,')
    page.until(lambda: page.js("return window.seen.length"), "the step that is sampled")
    page.until(
        lambda: not page.js("return document.querySelector('.cs-now')"), "no step at the end"
    )


def test_undo_and_copies(hand: Hand) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    page = hand.page
    hand.click("add")
    assert len(hand.rows) == 2
    page.js("document.activeElement?.blur()")
    kept = (
        "return app.extensionManager.workflow.activeWorkflow.changeTracker.activeState.nodes"
        ".find(n => n.type === arguments[0])?.widgets_values[0].rows.length"
    )
    page.until(lambda: page.js(kept, NODE) == 2, "two rows to go back from")
    page._settle()
    ActionChains(page.driver).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()
    page.until(lambda: len(hand.rows) == 1, "one row again")
    page.js(
        "const [node] = app.graph.findNodesByType(arguments[0]);"
        "app.canvas.selectNode(node);"
        "app.canvas.copyToClipboard(); app.canvas.pasteFromClipboard()",
        NODE,
    )
    page.until(
        lambda: page.js("return app.graph.findNodesByType(arguments[0]).length === 2", NODE), "two"
    )
    both = page.js(
        "const nodes = app.graph.findNodesByType(arguments[0]);"
        "const of = n => n.widgets.find(w => w.name === 'controls').value;"
        "const before = nodes.map(of);"
        "nodes[1].controlstack.box.querySelector('[data-key=add]').click();"
        "return [before, nodes.map(of)]",
        NODE,
    )
    assert both[0][0] == both[0][1]
    assert [len(value["rows"]) for value in both[1]] == [1, 2]


def test_wires_that_the_value_does_not_name_stay(hand: Hand) -> None:
    """As others write it: the server reads these wires, so they are shown and kept."""
    page = hand.page
    page.js(
        "const [node] = app.graph.findNodesByType(arguments[0]), {value} = node.controlstack;"
        "value.rows[0].sockets = ['mask']; node.controlstack.set(value);"
        "const mask = LiteGraph.createNode('SolidMask'); app.graph.add(mask);"
        "mask.connect(0, node, node.inputs.findIndex(i => i.name === 'mask_1'))",
        NODE,
    )
    drawn, prompt = page.saved()
    wires = hand.sources
    assert "mask_1" in wires
    node = next(node for node in drawn["nodes"] if node["type"] == NODE)
    del node["widgets_values"][0]["rows"][0]["sockets"]
    page.open_graph(drawn)
    assert hand.sources == wires
    key = next(key for key, one in prompt.items() if one["class_type"] == NODE)
    prompt[key]["inputs"]["controls"] = json.dumps({"rows": [{"file": DEPTH}]})
    page.js("app.loadApiJson(JSON.parse(arguments[0]), 'x')", json.dumps(prompt))
    page.until(lambda: page.js("return app.graph._nodes.length") == len(prompt), "all nodes")
    assert hand.sources == wires
    assert hand.rows == [{"id": 1, "file": DEPTH, "sockets": ["mask"]}]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"version": 2, "rows": [], "new": {"x": [1]}}, "newer ControlStack"),
        ({"lines": 3}, "cannot be read"),
        ({"version": 1, "rows": [{"id": i + 1, "file": DEPTH} for i in range(100)]}, "100 rows"),
        ({"version": 1, "rows": [{"id": 1, "file": "gone.safetensors", "hue": 3}]}, "⚠ gone"),
        ({"version": 1, "rows": [None]}, "cannot be read"),
    ],
    ids=["newer", "strange", "many", "gone", "no row"],
)
def test_what_cannot_run_is_said_and_kept(
    hand: Hand, server: Server, value: Any, says: str
) -> None:
    page = hand.page
    drawn, _ = page.saved()
    node = next(node for node in drawn["nodes"] if node["type"] == NODE)
    node["widgets_values"][0] = value
    page.open_graph(drawn)
    assert says in page.js("return document.querySelector('.cs-rows').textContent")
    again, prompt = page.saved()
    assert next(n for n in again["nodes"] if n["type"] == NODE)["widgets_values"][0] == value
    answer = server.post("/prompt", {"prompt": prompt})
    assert answer.status == 400
    page.complaints(PACK)


def test_in_a_subgraph_with_its_rows_outside(hand: Hand) -> None:
    page = hand.page
    if not page.js("return typeof app.graph.convertToSubgraph === 'function'"):
        pytest.skip("this front end has no subgraphs")
    page.js(
        "const [node] = app.graph.findNodesByType(arguments[0]);"
        "window.made = app.graph.convertToSubgraph(new Set([node]))",
        NODE,
    )
    page.until(
        lambda: not page.js("return app.graph.findNodesByType(arguments[0]).length", NODE), "it"
    )
    hand.page._settle()
    (inside,) = (node["inputs"] for node in page.saved()[1].values() if node["class_type"] == NODE)
    assert [row["id"] for row in inside["controls"]["rows"]] == [1]
    assert {"hint_1", "model"} <= set(inside)


@pytest.mark.parametrize("palette", ["dark", "light"])
def test_it_can_be_read_at_half_size(hand: Hand, palette: str, tmp_path: Path) -> None:
    page = hand.page
    page.js("app.extensionManager.setting.set('Comfy.ColorPalette', arguments[0])", palette)
    far = (
        "if (app.canvas.ds.scale !== arguments[0]) app.canvas.ds.changeScale(arguments[0], [0, 0]);"
        "app.canvas.setDirty(true, true); return !!document.querySelector('.cs-rows.far')"
    )
    # More than once: the front end goes back to a view that it kept, some time after it opened.
    page.until(lambda: page.js(far, 0.5), "large rows")
    size = page.js(
        "return parseFloat(getComputedStyle(document.querySelector('.cs-file')).fontSize)"
    )
    page.screenshot(tmp_path / f"{palette}.png")
    assert size * 0.5 >= 10
    page.until(lambda: not page.js(far, 1), "all of them again")
    page.js("app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")


def test_ten_rows_are_drawn_in_no_time(hand: Hand) -> None:
    """Measured and printed: benchmarks/front_end.md has the figures."""
    milliseconds = hand.page.js(
        """
        const [node] = app.graph.findNodesByType(arguments[0]);
        for (let i = 0; i < 9; i++) node.controlstack.box.querySelector('[data-key=add]').click();
        const times = [];
        for (let i = 0; i < 50; i++) {
          const begin = performance.now();
          node.controlstack.draw();
          times.push(performance.now() - begin);
        }
        return [node.controlstack.value.rows.length, times.sort((a, b) => a - b)[25]];
        """,
        NODE,
    )
    print(f"\n10 rows: {milliseconds[1]:.2f} ms")
    assert milliseconds[0] == 10
