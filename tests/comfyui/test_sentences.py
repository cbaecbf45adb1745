"""In the real front end: what the pack says of a failure is seen without a click."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.comfyui.browser import MISSING, Page
from tests.comfyui.server import PACK, Server
from tests.workflows.names import WORKFLOWS

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

NODE = "ControlStackDrawPose"
TITLE = "My dancers"
POSE = "no pose"
TOAST = ".p-toast-message"
EMPTY = "The pose JSON is an empty list; give at least one frame."
ITS_OWN = "Prompt execution failed"
"""What the front end itself writes into the console for a prompt that is refused."""


def draw(page: Page, *, linked: bool) -> None:
    """A pose that is none, typed or through a wire: refused before the run, or in it."""
    page.js(
        """
        const [node, title, pose, linked] = arguments
        app.graph.clear()
        const add = type => { const n = LiteGraph.createNode(type); app.graph.add(n); return n }
        const drawn = add(node), shown = add('PreviewImage')
        drawn.title = title
        shown.pos = [600, 100]
        drawn.connect(0, shown, 0)
        const field = drawn.widgets.find(w => w.name === 'pose_json')
        if (!linked) { field.value = pose; return }
        const text = add('PrimitiveString')
        text.pos = [-500, 100]
        text.widgets[0].value = pose
        text.connect(0, drawn, drawn.inputs.findIndex(i => i.name === 'pose_json'))
        """,
        *(NODE, TITLE, POSE, linked),
    )


def toasts(page: Page, word: str = "pose") -> list[tuple[str, str]]:
    """Title and text of each toast with `word` in it: others are the front end's."""
    found = page.js(
        "return [...document.querySelectorAll(arguments[0])].map(t =>"
        " ['summary', 'detail'].map(p => t.querySelector(`.p-toast-${p}`)?.innerText ?? ''))",
        TOAST,
    )
    return [(title, text) for title, text in found if word in text]


def run(page: Page, *, linked: bool) -> None:
    """Open the page anew, draw, and click Run."""
    page.open(page.driver.current_url, NODE)
    draw(page, linked=linked)
    page.complaints(PACK)
    page.click("//button[normalize-space(.)='Run']")


@pytest.mark.parametrize("linked", [False, True], ids=["refused", "failed"])
def test_a_sentence_is_seen_with_the_title_of_its_node(
    page: Page, server: Server, linked: bool, tmp_path: Path
) -> None:
    run(page, linked=linked)
    [(title, sentence)] = page.until(lambda: toasts(page), "a toast")
    page.screenshot(tmp_path / "toast.png")
    assert title == TITLE
    assert sentence == "the pose is not JSON: Expecting value in line 1, column 1"
    assert [said for said in page.complaints(PACK) if ITS_OWN not in said] == []
    if linked:
        assert "\ncontrolstack.ground.errors.UserError: the pose is" in server.log.read_text()


def test_a_sentence_goes_with_the_next_run(page: Page) -> None:
    run(page, linked=False)
    page.until(lambda: toasts(page), "a toast")
    page.fill(NODE, "pose_json", "[]")
    page.js("app.queuePrompt(0)")
    page.until(lambda: [text for _, text in toasts(page)] == [EMPTY], "the other toast alone")


def test_a_muted_line_that_takes_others_along_is_named(page: Page) -> None:
    """The front end leaves it out of the prompt, and the wire behind it."""
    page.open(page.driver.current_url, NODE)
    page.open_graph(json.loads((WORKFLOWS / "stack_pose_depth.json").read_text()))
    number, title = page.js(
        "const [apply] = app.graph.findNodesByType('ControlStackApply');"
        "const last = apply.getInputNode(apply.findInputSlot('stack'));"
        "last.mode = 2; apply.title = 'All of them'; return [last.id, last.title]"
    )
    page.js("app.queuePrompt(0)")
    says = f"node {number} ({title}) is muted, so the controls before it would not act: "
    found = page.until(lambda: toasts(page, "is muted"), "a toast")
    assert [(of, text[: len(says)]) for of, text in found] == [("All of them", says)]


def test_several_problems_are_a_line_each(page: Page) -> None:
    page.js(
        "app.api.dispatchCustomEvent('execution_error', {node_id: '0', node_type: arguments[0],"
        " exception_type: 'controlstack.ground.errors.UserError', traceback: [],"
        " exception_message: arguments[1]})",
        *(NODE, "Of this pose:\n  one\n  two\n"),
    )
    title = page.js("return LiteGraph.registered_node_types[arguments[0]].title", NODE)
    page.until(lambda: (title, "Of this pose:\none\ntwo") in toasts(page), "three lines")


def test_the_extension_is_there_once(page: Page) -> None:
    ours = page.js("return app.extensions.map(e => e.name).filter(n => /^ControlStack/.test(n))")
    names = ("Colours", "Convert", "HintRun", "Pose", "Rows", "Slots", "Toasts")
    assert sorted(ours) == [f"ControlStack.{name}" for name in names]
    assert sorted(ours) == [f"ControlStack.{name}" for name in names]
    # The browser keeps times of the first 250 files only; an older front end has more.
    for address, milliseconds in page.js(
        "return performance.getEntriesByType('resource').map(e => [e.name, e.duration])"
        ".filter(([name]) => name.includes(arguments[0]) && name.endsWith('.js'))",
        f"/{PACK}/",
    ):
        print(f"\n{address.rpartition('/')[2]}: {milliseconds:.0f} ms")
