"""The pose editor in the real front end: its gestures, by mouse, keyboard and fingers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

from controlstack.preprocessors.pose.draw import draw_pose
from controlstack.preprocessors.pose.people import parse_poses
from tests.comfyui.browser import MISSING, Page
from tests.comfyui.server import PACK

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

NODE = "ControlStackDrawPose"
DIALOG = ".controlstack-pose"
WIDTH, HEIGHT = 640, 512
JOINTS = [
    *((320, 72), (320, 138), (262, 138), (224, 205), (205, 266), (378, 138), (416, 205)),
    *((435, 266), (288, 271), (282, 369), (275, 461), (352, 271), (358, 369), (365, 461)),
    *((307, 61), (333, 61), (288, 67), (352, 67)),
]
NOSE, WRIST, EAR = 0, 4, 17
SIDES = ((2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13), (14, 15), (16, 17))


def pose(joints: Any = JOINTS) -> dict[str, Any]:
    """A frame with keys of others in it."""
    numbers = [n for x, y in joints for n in (x, y, 1)]
    person = {"person_id": [-1], "pose_keypoints_2d": numbers, "hand_left_keypoints_2d": None}
    return {"version": 1.3, "people": [person], "canvas_width": WIDTH, "canvas_height": HEIGHT}


def draw(page: Page, text: str) -> None:
    """Two Draw Pose nodes with this text, the first one's hint shown; the page's errors so far are
    others'."""
    page.js(
        """
        const [type, text, width, height] = arguments
        document.querySelector(arguments[4])?.close()
        app.graph.clear()
        app.nodeOutputs = {}
        const add = (type, x) => {
          const n = LiteGraph.createNode(type); n.pos = [x, 100]; app.graph.add(n); return n }
        for (const [x, shown] of [[100, 600], [1100, 1600]]) {
          const node = add(type, x)
          const put = (name, value) => { node.widgets.find(w => w.name === name).value = value }
          put('pose_json', text); put('width', width); put('height', height)
          node.connect(0, add('PreviewImage', shown), 0)
        }
        app.canvas.ds.scale = 0.8
        app.canvas.setDirty(true, true)
        """,
        *(NODE, text, WIDTH, HEIGHT, DIALOG),
    )
    page.until_nodes(4)
    page.complaints(PACK)


def text_of(page: Page, number: int = 0) -> str:
    """The text of a Draw Pose node, as it goes into the prompt."""
    _, prompt = page.saved()
    found = [n for n in prompt.values() if n["class_type"] == NODE]
    return str(found[number]["inputs"]["pose_json"])


def click(page: Page, name: str) -> None:
    """A button of the window, as soon as it can be used."""
    page.click(
        f"//*[contains(@class, '{DIALOG[1:]}')]"
        f"//button[normalize-space(.)='{name}' and not(@disabled)]"
    )


def draws_no_elements(page: Page) -> bool:
    """Whether this is the first Nodes 2.0, which leave out what extensions put on a node."""
    version = str(page.js("return window.__COMFYUI_FRONTEND_VERSION__ ?? ''"))
    return version.startswith("1.27.") and page.drawn_by_vue()


def open_editor(page: Page, number: int = 0) -> None:
    """By the button on a node; where none is drawn, by the entry in its menu."""
    buttons = ".controlstack-pose-view button"
    if draws_no_elements(page):
        page.js(
            "const node = app.graph._nodes.filter(n => n.type === arguments[0])[arguments[1]];"
            "const menu = []; node.getExtraMenuOptions(app.canvas, menu);"
            "menu.find(entry => entry.content === 'Edit pose').callback()",
            *(NODE, number),
        )
    else:
        page.until(
            lambda: page.js(f"return document.querySelectorAll('{buttons}').length === 2"),
            "the views",
        )
        found = page.driver.find_elements("css selector", buttons)
        hand(page).click(sorted(found, key=lambda one: one.rect["x"])[number]).perform()
    page.until(lambda: page.js(f"return !!document.querySelector('{DIALOG}[open]')"), "the window")


def is_open(page: Page) -> bool:
    return bool(page.js(f"return !!document.querySelector('{DIALOG}')"))


def scale(page: Page) -> float:
    """Pixels of the page in one of the pose's, at first."""
    wide, high = page.js(
        f"const c = document.querySelector('{DIALOG} canvas'); return [c.width, c.height]"
    )
    return float(min(wide / WIDTH, high / HEIGHT) * 0.9)


def hand(page: Page) -> Any:
    from selenium.webdriver.common.action_chains import ActionChains

    return ActionChains(page.driver, duration=20)


def at(page: Page, place: tuple[float, float]) -> tuple[int, int]:
    """A place of the pose, in pixels from the middle of the window's canvas."""
    one = scale(page)
    return round((place[0] - WIDTH / 2) * one), round((place[1] - HEIGHT / 2) * one)


def drag(page: Page, place: tuple[float, float], by: tuple[int, int], key: str = "") -> None:
    """With the mouse: `by` is in pixels of the page."""
    canvas = page.driver.find_element("css selector", f"{DIALOG} canvas")
    actions = hand(page).move_to_element_with_offset(canvas, *at(page, place))
    if key:
        actions.key_down(key)
    actions.click_and_hold().move_by_offset(by[0] // 2, by[1] // 2)
    actions.move_by_offset(by[0] - by[0] // 2, by[1] - by[1] // 2).release()
    if key:
        actions.key_up(key)
    actions.perform()


def keys(page: Page, *pressed: str, held: str = "") -> None:
    actions = hand(page)
    if held:
        actions.key_down(held)
    for one in pressed:
        actions.send_keys(one)
    if held:
        actions.key_up(held)
    actions.perform()


def run(page: Page) -> list[Any]:
    """Click Run; the pictures of both previews, as the server keeps them."""
    page.click("//button[normalize-space(.)='Run']")
    shown = (
        "return app.graph._nodes.filter(n => n.type === 'PreviewImage')"
        ".map(n => app.nodeOutputs[n.id]?.images?.[0] ?? null)"
    )
    page.until(lambda: None not in page.js(shown), "the pictures")
    pictures = []
    for named in page.js(shown):
        address = page.js("return location.origin + app.api.apiURL(arguments[0])", "/view?")
        with urlopen(address + urlencode(named)) as answer:
            pictures.append(np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB")))
    return pictures


def read(text: str) -> list[tuple[float, float, float]]:
    """The joints of the first person."""
    numbers = json.loads(text)["people"][0]["pose_keypoints_2d"]
    return list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))


def middle(a: int, b: int) -> tuple[float, float]:
    return (JOINTS[a][0] + JOINTS[b][0]) / 2, (JOINTS[a][1] + JOINTS[b][1]) / 2


def test_a_pose_is_edited_and_drawn_as_edited(page: Page, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    before = json.dumps(pose())
    draw(page, before)
    open_editor(page)
    one = scale(page)
    drag(page, JOINTS[WRIST], (40, -60))
    drag(page, JOINTS[NOSE], (0, 0))
    keys(page, Keys.DELETE)
    drag(page, JOINTS[EAR], (0, 0))
    keys(page, Keys.DELETE)
    keys(page, "z", held=Keys.CONTROL)
    drag(page, middle(9, 10), (0, 0))  # a limb: the whole person
    click(page, "Mirror")
    page.screenshot(tmp_path / "window.png")
    click(page, "OK")
    page.until(lambda: not is_open(page), "the window to close")
    after = text_of(page)

    expected = [[x, y, 1.0] for x, y in JOINTS]
    expected[WRIST] = [JOINTS[WRIST][0] + 40 / one, JOINTS[WRIST][1] - 60 / one, 1]
    expected[NOSE][2] = 0
    seen = [x for x, _, sure in expected if sure]
    for joint in expected:
        joint[0] = min(seen) + max(seen) - joint[0]
    for a, b in SIDES:
        expected[a], expected[b] = expected[b], expected[a]
    assert np.abs(np.array(read(after)) - np.array(expected)).max() < 0.03
    rest = json.loads(after)
    rest["people"][0]["pose_keypoints_2d"] = pose()["people"][0]["pose_keypoints_2d"]
    assert rest == pose()

    drawn, _ = run(page)
    assert np.array_equal(drawn, draw_pose(parse_poses(after)[0], WIDTH, HEIGHT))
    assert page.complaints(PACK) == []


def test_the_whole_edit_is_one_step_of_the_graph_s_undo(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    before = json.dumps(pose())
    draw(page, before)
    page.js("window.dispatchEvent(new MouseEvent('mouseup'))")  # so that it is a state of its own
    open_editor(page)
    drag(page, JOINTS[WRIST], (40, 0))
    drag(page, JOINTS[WRIST + 1], (40, 0))
    click(page, "OK")
    page.until(lambda: text_of(page) != before, "the edit")
    page.js("document.activeElement.blur()")
    keys(page, "z", held=Keys.CONTROL)
    page.until(lambda: text_of(page) == before, "the text as it was")


@pytest.mark.parametrize("how", ["Cancel", "Escape"])
def test_what_is_cancelled_changes_nothing(page: Page, how: str) -> None:
    from selenium.webdriver.common.keys import Keys

    before = json.dumps(pose(), indent=3)
    draw(page, before)
    open_editor(page)
    drag(page, JOINTS[WRIST], (40, -60))
    if how == "Escape":
        keys(page, Keys.ESCAPE)
    else:
        click(page, "Cancel")
    page.until(lambda: not is_open(page), "the window to close")
    assert text_of(page) == before
    assert page.complaints(PACK) == []


def test_by_keyboard_alone(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    draw(page, json.dumps(pose()))
    open_editor(page)
    keys(page, *[Keys.TAB] * (WRIST + 1), Keys.ARROW_LEFT, Keys.ARROW_DOWN)
    keys(page, Keys.ARROW_RIGHT, held=Keys.SHIFT)
    keys(page, Keys.TAB, Keys.DELETE)
    keys(page, Keys.ENTER)
    page.until(lambda: not is_open(page), "the window to close")
    joints = read(text_of(page))
    x, y = JOINTS[WRIST]
    assert joints[WRIST] == (x + 9, y + 1, 1)
    assert [i for i, joint in enumerate(joints) if not joint[2]] == [WRIST + 1]
    assert page.complaints(PACK) == []


def test_a_limb_follows_and_a_person_moves(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    draw(page, json.dumps(pose()))
    open_editor(page)
    one = scale(page)
    drag(page, JOINTS[2], (30, 30), Keys.SHIFT)
    drag(page, middle(12, 13), (-50, 0))
    click(page, "OK")
    page.until(lambda: not is_open(page), "the window to close")
    moved = np.array(read(text_of(page)))[:, :2] - np.array(JOINTS)
    arm = [2, 3, 4]
    rest = [i for i in range(18) if i not in arm]
    assert np.abs(moved[rest] - (-50 / one, 0)).max() < 0.03
    assert np.abs(moved[arm] - ((30 - 50) / one, 30 / one)).max() < 0.03


def test_people_come_and_go(page: Page) -> None:
    draw(page, json.dumps(pose()))
    open_editor(page)
    click(page, "Add person")
    click(page, "Copy")
    click(page, "Delete")
    click(page, "OK")
    page.until(lambda: not is_open(page), "the window to close")
    people = json.loads(text_of(page))["people"]
    assert len(people) == 2
    assert people[0] == pose()["people"][0]


def test_off_the_canvas_is_said_and_pulled_in(page: Page) -> None:
    draw(page, json.dumps(pose([(x + 9000, y) for x, y in JOINTS])))
    open_editor(page)
    status = f"return document.querySelector('{DIALOG} [role=status]').innerText"
    assert "18 points lie off the canvas" in page.js(status)
    click(page, "Pull in")
    assert "off the canvas" not in page.js(status)
    click(page, "OK")
    page.until(lambda: not is_open(page), "the window to close")
    xs = [x for x, _, _ in read(text_of(page))]
    assert (max(xs), max(xs) - min(xs)) == (WIDTH, 435 - 205)


def test_a_text_that_is_no_pose_is_kept_until_it_is_replaced(page: Page) -> None:
    draw(page, "no pose")
    open_editor(page)
    said = page.js(f"return document.querySelector('{DIALOG} [role=status]').innerText")
    assert "is no pose" in said
    click(page, "OK")
    page.until(lambda: not is_open(page), "the window to close")
    assert text_of(page) == "no pose"
    open_editor(page)
    click(page, "Add person")
    click(page, "OK")
    page.until(lambda: not is_open(page), "the window to close")
    assert len(parse_poses(text_of(page))[0].people) == 1


def test_a_picture_behind_and_its_size(page: Page, tmp_path: Path) -> None:
    Image.new("RGB", (300, 400), "red").save(tmp_path / "behind.png")
    draw(page, json.dumps(pose()))
    open_editor(page)
    page.driver.find_element("css selector", f"{DIALOG} input[type=file]").send_keys(
        str(tmp_path / "behind.png")
    )
    click(page, "Snap to picture")
    click(page, "Undo")
    click(page, "Redo")
    page.screenshot(tmp_path / "behind-shown.png")
    click(page, "OK")
    page.until(lambda: not is_open(page), "the window to close")
    frame = json.loads(text_of(page))
    assert (frame["canvas_width"], frame["canvas_height"]) == (300, 400)
    _, prompt = page.saved()
    inputs = next(n["inputs"] for n in prompt.values() if n["class_type"] == NODE)
    assert (inputs["width"], inputs["height"]) == (300, 400)


def test_a_wired_pose_is_shown_after_a_run_and_taken_over(page: Page) -> None:
    """One Draw Pose node's POSE_KEYPOINT into the other's."""
    # Of a prompt that the server has run, only the pictures come again.
    given = pose([(x + 1 + page.drawn_by_vue(), y) for x, y in JOINTS])
    draw(page, json.dumps(given))
    page.js(
        """
        const [a, b] = app.graph._nodes.filter(n => n.type === arguments[0])
        b.widgets.find(w => w.name === 'pose_json').value = ''
        a.connect(1, b, b.inputs.findIndex(i => i.name === 'pose_keypoint'))
        """,
        NODE,
    )
    open_editor(page, 1)
    status = f"return document.querySelector('{DIALOG} [role=status]').innerText"
    assert "run once to see it" in page.js(status)
    click(page, "Cancel")
    pictures = run(page)
    assert np.array_equal(*pictures)
    open_editor(page, 1)
    assert "as of the last run" in page.js(status)
    click(page, "OK")
    page.until(lambda: not is_open(page), "the window to close")
    _, prompt = page.saved()
    taken = [n["inputs"] for n in prompt.values() if n["class_type"] == NODE][1]
    assert "pose_keypoint" not in taken
    assert parse_poses(taken["pose_json"]) == parse_poses([given])
    assert page.complaints(PACK) == []


def test_fingers_drag_and_pinch(page: Page) -> None:
    draw(page, json.dumps(pose()))
    open_editor(page)
    one = scale(page)
    left, top, wide, high = page.js(
        f"const r = document.querySelector('{DIALOG} canvas').getBoundingClientRect();"
        "return [r.x, r.y, r.width, r.height]"
    )
    dx, dy = at(page, JOINTS[WRIST])
    x, y = left + wide / 2 + dx, top + high / 2 + dy

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(points)]
        page.driver.execute_cdp_cmd(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": places}
        )

    touch("touchStart", (x, y))
    touch("touchMove", (x - 20, y + 10))
    touch("touchMove", (x - 40, y + 20))
    touch("touchEnd")
    # Twice as near, about the middle of the canvas: then a finger's way is half as long.
    cx, cy = left + wide / 2, top + high / 2
    touch("touchStart", (cx - 300, cy))
    touch("touchStart", (cx - 300, cy), (cx - 100, cy))
    touch("touchMove", (cx - 300, cy), (cx + 100, cy))
    touch("touchEnd")
    keys(page, "\ue007")
    page.until(lambda: not is_open(page), "the window to close")
    joints = np.array(read(text_of(page)))
    expected = np.array([(x, y, 1.0) for x, y in JOINTS])
    expected[WRIST, :2] += (-40 / one, 20 / one)
    assert np.abs(joints - expected).max() < 1.5 / one
    assert page.complaints(PACK) == []
