"""In the real front end: a chain becomes a ControlNet Stack by its menu, and back, and undone."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from controlstack.conversion.convert import convert
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import read_workflow
from tests.comfyui import shipped
from tests.comfyui.browser import MISSING, Page
from tests.comfyui.server import PACK, Server
from tests.conversion.graphs import Prompt, drawn, node, same

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

STACK, APPLY = "ControlStackRows", "ControlNetApplyAdvanced"
WORDS = {
    "stack": "Convert to ControlNet Stack",
    "nodes": "Convert to Add ControlNet nodes",
    "core": "Convert to Apply ControlNet nodes",
}
SAVE = "11"


def chain() -> Prompt:
    """Pose and depth through ComfyUI's own apply nodes (20, 21), small."""
    small = shipped.small("stack_pose_depth").prompt()
    by_type: dict[str, list[str]] = {}
    for key, one in small.items():
        by_type.setdefault(one["class_type"], []).append(key)
    names = {key: str(100 + number) for number, key in enumerate(small)}
    (sampler,), (save,) = by_type["KSampler"], by_type["SaveImage"]
    names |= {sampler: "9", save: SAVE}
    made: Prompt = {}
    for key, one in small.items():
        inputs = {
            name: [names[value[0]], value[1]] if isinstance(value, list) else value
            for name, value in one["inputs"].items()
        }
        made[names[key]] = node(one["class_type"], **inputs)
    prompts = {name: made["9"]["inputs"][name] for name in ("positive", "negative")}
    for number, key in enumerate(by_type["ControlStackAdd"]):
        add = made.pop(names[key])["inputs"]
        made[add["control_net"][0]]["class_type"] = "ControlNetLoader"
        taken = ("control_net", "image", "strength", "start_percent", "end_percent")
        new = str(20 + number)
        made[new] = node(APPLY, **prompts, **{name: add[name] for name in taken})
        prompts = {"positive": [new, 0], "negative": [new, 1]}
    (apply,) = by_type["ControlStackApply"]
    made["9"]["inputs"] |= {"model": made.pop(names[apply])["inputs"]["model"], **prompts}
    return made


def laid_out(prompt: Prompt) -> dict[str, Any]:
    """Drawn with room for each node, and with names for the files of the widgets."""
    document = drawn(prompt)
    for number, one in enumerate(document["nodes"]):
        one["pos"] = [440 * (number % 5), 480 * (number // 5)]
        one["size"] = [300, 120]
    return document


def open_chain(page: Page, document: dict[str, Any]) -> None:
    page.js("const root = app.rootGraph ?? app.graph; app.canvas.setGraph(root); root.clear()")
    page.open_graph(document)
    page.js(
        "app.canvas.ds.scale = 0.5; app.canvas.ds.offset = [500, 260]; app.canvas.setDirty(1, 1)"
    )
    page._settle()


def right_click(page: Page, node_id: str) -> None:
    """With the mouse, on the node's title in the graph that is on the page."""
    from selenium.webdriver import ActionChains

    x, y = page.js(
        """
        const node = app.canvas.graph.getNodeById(arguments[0])
        const [x, y] = app.canvas.ds.convertOffsetToCanvas([node.pos[0] + 100, node.pos[1] - 12])
        const box = app.canvas.canvas.getBoundingClientRect()
        return [Math.round(box.left + x), Math.round(box.top + y)]
        """,
        int(node_id),
    )
    mouse = ActionChains(page.driver)
    mouse.w3c_actions.pointer_action.move_to_location(x, y)
    mouse.perform()
    ActionChains(page.driver).context_click().perform()


def choose(page: Page, node_id: str, to: str) -> None:
    """Click the entry of the node's menu, which has it once."""
    if page.drawn_by_vue() and not page.js("return !!app.collectNodeMenuItems"):
        pytest.skip("in this front end nodes by Vue have no menu")
    page.complaints(PACK)  # the front end's own, of what came before
    right_click(page, node_id)
    entry = f"//*[normalize-space(text())='{WORDS[to]}']"
    found = page.until(
        lambda: [one for one in page.driver.find_elements("xpath", entry) if one.is_displayed()],
        f"the entry {WORDS[to]}",
    )
    assert len(found) == 1
    found[0].click()


def api(page: Page) -> Any:
    return json.loads(json.dumps(page.saved()[1]))


def plain(prompt: Any) -> Any:
    """Without what only the page writes."""
    for one in prompt.values():
        one.pop("_meta", None)
        one["inputs"].pop("upload", None)
    return prompt


def nodes_of(page: Page, kind: str) -> list[str]:
    found = page.js(
        "return app.canvas.graph.nodes.filter(n => n.type === arguments[0]).map(n => String(n.id))",
        kind,
    )
    return [str(one) for one in found]


def until(page: Page, kind: str, count: int) -> list[str]:
    page.until(lambda: len(nodes_of(page, kind)) == count, f"{count} nodes {kind}")
    page._settle()
    return nodes_of(page, kind)


def pixels(server: Server, prompt: Any) -> bytes:
    """The picture alone: each file also holds its graph."""
    graph = read_workflow(prompt, default_registry(), "prompt")
    # The page lists what ran, and wants a canvas of it.
    run = server.run(replace(graph, workflow={"nodes": [], "links": [], "version": 0.4}))
    (named,) = run.outputs[SAVE]["images"]
    with Image.open(io.BytesIO(server.picture(named))) as opened:
        return opened.tobytes()


def undo(page: Page) -> None:
    from selenium.webdriver import ActionChains, Keys

    ActionChains(page.driver).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()


def test_a_chain_by_its_menu_and_back(page: Page, server: Server, tmp_path: Path) -> None:
    open_chain(page, laid_out(chain()))
    before = plain(api(page))
    view = page.js("return [app.canvas.ds.scale, ...app.canvas.ds.offset]")
    tab = page.js("return app.extensionManager.workflow.activeWorkflow.path")
    choose(page, "21", "stack")
    [stack] = until(page, STACK, 1)
    page.screenshot(tmp_path / "stack.png")
    assert nodes_of(page, APPLY) == nodes_of(page, "ControlNetLoader") == []
    after = plain(api(page))
    assert same(after, SAVE) == same(plain(convert(before).document), SAVE)
    assert page.js("return [app.canvas.ds.scale, ...app.canvas.ds.offset]") == view
    assert page.js("return app.extensionManager.workflow.activeWorkflow.path") == tab
    assert page.broken_nodes() == []
    page.until(lambda: "became 2 rows of ControlNet Stack" in page.text(), "what was done")
    undo(page)
    until(page, APPLY, 2)
    assert same(plain(api(page)), SAVE) == same(before, SAVE)
    page.js("app.extensionManager.workflow.activeWorkflow.changeTracker.redo()")
    [stack] = until(page, STACK, 1)
    choose(page, stack, "core")
    until(page, APPLY, 2)
    assert same(plain(api(page)), SAVE) == same(before, SAVE)
    undo(page)
    [stack] = until(page, STACK, 1)
    choose(page, stack, "nodes")
    until(page, "ControlStackAdd", 2)
    added = plain(api(page))
    page.screenshot(tmp_path / "nodes.png")
    assert page.complaints(PACK) == []
    pictures = {pixels(server, one) for one in (before, after, added)}
    assert len(pictures) == 1
    assert pixels(server, weaker(after)) not in pictures


def weaker(prompt: Any) -> Any:
    changed = json.loads(json.dumps(prompt))
    for one in changed.values():
        if one["class_type"] == STACK:
            one["inputs"]["controls"]["rows"][0]["strength"] = 0.1
    return changed


def test_inside_a_subgraph(page: Page, tmp_path: Path) -> None:
    open_chain(page, laid_out(chain()))
    before = plain(api(page))
    page.js(
        """
        const {subgraph, node} = app.canvas.graph.convertToSubgraph(
            new Set([20, 21].map(id => app.canvas.graph.getNodeById(id))))
        app.canvas.openSubgraph(subgraph, node)
        """
    )
    until(page, APPLY, 2)
    page.js(
        "app.canvas.ds.scale = 0.6; app.canvas.ds.offset = [500, 260]; app.canvas.setDirty(1, 1)"
    )
    page._settle()
    choose(page, nodes_of(page, APPLY)[0], "stack")
    until(page, STACK, 1)
    page.screenshot(tmp_path / "subgraph.png")
    [stack] = [one for one in plain(api(page)).values() if one["class_type"] == STACK]
    assert [
        row["strength"] for row in stack["controls" if 0 else "inputs"]["controls"]["rows"]
    ] == [before[key]["inputs"]["strength"] for key in ("20", "21")]
    undo(page)
    until(page, APPLY, 2)
    assert page.complaints(PACK) == []


def test_what_stays_is_said(page: Page) -> None:
    prompt = chain()
    prompt["30"] = node("PrimitiveFloat", value=0.5)
    prompt["21"]["inputs"]["strength"] = ["30", 0]
    open_chain(page, laid_out(prompt))
    before = plain(api(page))
    choose(page, "20", "stack")
    page.until(lambda: "its strength comes through a wire" in page.text(), "why not")
    assert plain(api(page)) == before


@pytest.mark.parametrize("path", ["/controlstack/steps", "/controlstack/convert"])
@pytest.mark.parametrize("asked", [[], None, 3, "x"])
def test_what_is_no_object_is_refused(server: Server, path: str, asked: object) -> None:
    answer = server.post(path, asked)
    assert answer.status == 400
    assert answer.json == {"error": "the request has to be a JSON object."}
