"""In the real front end: a hint's picture is on its node, and a hint runs alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.comfyui.browser import MISSING, Page
from tests.comfyui.server import PACK, Server
from tests.comfyui.test_sentences import toasts

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

CANNY = "ControlStackCanny"
ALONE = "Run this hint alone"
PICTURE = "controlstack_scene.png"

_HAS_MENU = "return !!document.querySelector('.litecontextmenu, .p-contextmenu, [role=\"menu\"]')"

_DRAW = """
app.graph.clear()
const add = (type, x, y) => {
  const node = LiteGraph.createNode(type)
  node.pos = [x, y]
  app.graph.add(node)
  return node
}
const [canny, picture] = arguments
const photo = add('LoadImage', 60, 140)
photo.widgets[0].value = picture
const hint = add(canny, 440, 140)
const other = add('ImageInvert', 440, 600)
const shown = add('PreviewImage', 840, 600)
photo.connect(0, hint, 0)
photo.connect(0, other, 0)
other.connect(0, shown, 0)
return [hint.id, shown.id]
"""


def fresh(page: Page) -> tuple[Any, Any]:
    """A photo, a hint of it that nobody uses, and another line; the hint's and its preview's id."""
    page.open(page.driver.current_url, CANNY)
    hint, shown = page.js(_DRAW, CANNY, PICTURE)
    page.complaints(PACK)
    return hint, shown


def at(page: Page, node: Any) -> tuple[int, int]:
    """Where the middle of a node's title bar is in the window."""
    x, y = page.js(
        "const n = app.canvas.graph.getNodeById(arguments[0]), {scale, offset} = app.canvas.ds;"
        "const box = app.canvas.canvas.getBoundingClientRect();"
        "return [box.left + (n.pos[0] + n.size[0] / 2 + offset[0]) * scale,"
        " box.top + (n.pos[1] - 15 + offset[1]) * scale]",
        node,
    )
    return round(x), round(y)


def click(page: Page, node: Any, *, right: bool = False) -> None:
    """A real click on a node's title bar."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.action_builder import ActionBuilder

    builder = ActionBuilder(page.driver)
    builder.pointer_action.move_to_location(*at(page, node))
    if right:
        builder.pointer_action.context_click()
    else:
        builder.pointer_action.click()
    builder.perform()
    ActionChains(page.driver).pause(0.3).perform()


def shown_on(page: Page, node: Any) -> int:
    """How many pictures the node shows: the front end keeps them by the node's place."""
    count: int = page.js(
        "const n = app.canvas.graph.getNodeById(arguments[0]);"
        "return n.imgs?.length || document.querySelectorAll("
        '`[data-node-id="${arguments[0]}"] img`).length',
        node,
    )
    return count


def asked(server: Server) -> list[dict[str, Any]]:
    """The prompts that the server has run, as they ended."""
    return [run["prompt"][2] for run in server.get("/history").json.values()]


def types(prompt: dict[str, Any]) -> list[str]:
    return sorted(node["class_type"] for node in prompt.values())


def menu(page: Page, node: Any) -> None:
    """Right-click, "Run this hint alone"."""
    click(page, node)
    click(page, node, right=True)
    page._settle()
    if page.drawn_by_vue() and not page.js(_HAS_MENU):
        pytest.skip("this front end has no menu of nodes that Vue draws; its toolbox is tried")
    page.click(f"//*[normalize-space(text())='{ALONE}']")


def run_alone(page: Page, server: Server, node: Any) -> dict[str, Any]:
    """The prompt that came of it."""
    before = len(server.get("/history").json)
    menu(page, node)
    page.until(lambda: len(server.get("/history").json) > before, "a run")
    return asked(server)[-1]


def test_a_hint_that_is_used_is_seen_on_its_node(page: Page, tmp_path: Path) -> None:
    hint, shown = fresh(page)
    page.js(
        "const [hint, shown] = [...arguments].map(id => app.graph.getNodeById(id));"
        "hint.connect(0, shown, 0); hint.widgets[0].value = 37",  # not in the server's cache
        *(hint, shown),
    )
    page.click("//button[normalize-space(.)='Run']")
    page.until(lambda: shown_on(page, hint) == 1, "a picture on the hint")
    page.until(lambda: shown_on(page, shown) == 1, "a picture on the preview")
    page.screenshot(tmp_path / "seen.png")
    assert page.complaints(PACK) == []


def test_a_hint_runs_alone_from_its_menu(page: Page, server: Server, tmp_path: Path) -> None:
    hint, shown = fresh(page)
    prompt = run_alone(page, server, hint)
    assert types(prompt) == [CANNY, "LoadImage", "PreviewImage"]
    page.until(lambda: shown_on(page, hint) == 1, "a picture on the hint")
    page.screenshot(tmp_path / "alone.png")
    assert shown_on(page, shown) == 0
    assert page.complaints(PACK) == []


def test_a_hint_that_is_in_the_cache_is_shown_again(page: Page, server: Server) -> None:
    for _ in range(2):
        hint, _ = fresh(page)
        run_alone(page, server, hint)
        page.until(partial(shown_on, page, hint), "a picture on the hint")
    assert page.complaints(PACK) == []


def test_a_hint_runs_alone_from_the_toolbox(page: Page, server: Server, tmp_path: Path) -> None:
    hint, _ = fresh(page)
    server.post("/settings/Comfy.Canvas.SelectionToolbox", True)
    page.open(page.driver.current_url, CANNY)
    hint, _ = page.js(_DRAW, CANNY, PICTURE)
    before = len(server.get("/history").json)
    click(page, hint)
    page.click(
        "//*[contains(@class,'selection-toolbox')]//button[.//*[contains(@class,'pi-play')]]"
    )
    page.until(lambda: len(server.get("/history").json) > before, "a run")
    page.screenshot(tmp_path / "toolbox.png")
    assert types(asked(server)[-1]) == [CANNY, "LoadImage", "PreviewImage"]


def test_a_hint_inside_of_a_subgraph_runs_alone(page: Page, server: Server, tmp_path: Path) -> None:
    hint, _ = fresh(page)
    outer = page.js(
        "const g = app.graph, node = g.getNodeById(arguments[0]);"
        "const {node: made, subgraph} = g.convertToSubgraph(new Set([node]));"
        "app.canvas.setGraph(subgraph); return made.id",
        hint,
    )
    inner = page.js(
        "const [n] = app.canvas.graph.nodes.filter(n => n.type === arguments[0]);"
        "app.canvas.ds.offset = [300 - n.pos[0], 300 - n.pos[1]]; app.canvas.ds.scale = 1;"
        "app.canvas.setDirty(true, true); return n.id",
        CANNY,
    )
    page._settle()
    prompt = run_alone(page, server, inner)
    assert types(prompt) == [CANNY, "LoadImage", "PreviewImage"]
    assert prompt[f"{outer}:{inner}"]["class_type"] == CANNY
    page.until(lambda: shown_on(page, inner) == 1, "a picture on the hint")
    page.screenshot(tmp_path / "inside.png")
    assert page.complaints(PACK) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("app.graph.getNodeById(arguments[0]).mode = 2", "is muted or bypassed"),
        ("app.graph.nodes.find(n => n.type === 'LoadImage').widgets[0].value = 'gone.png'",
         "LoadImage: "),
    ],
)  # fmt: skip
def test_what_hinders_it_is_said(page: Page, change: str, says: str, tmp_path: Path) -> None:
    hint, _ = fresh(page)
    page.js(change, hint)
    menu(page, hint)
    page._settle()
    page.screenshot(tmp_path / "hindered.png")
    page.until(lambda: [text for _, text in toasts(page, says)], "the sentence")


def test_a_saved_graph_holds_nothing_of_it(page: Page, server: Server) -> None:
    hint, _ = fresh(page)
    before, _ = page.saved()
    run_alone(page, server, hint)
    after, _ = page.saved()
    kept, now = (sorted(node["type"] for node in saved["nodes"]) for saved in (before, after))
    assert now == kept
