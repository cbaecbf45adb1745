"""What a person does in ComfyUI's front end over this server: every click is Chromium's own.

It needs no ComfyUI: Chromium with its driver, `pip install -e ".[comfyui-tests,serve]"`, then
`python -m pytest tests/headless/server/test_in_the_browser.py`. `COMFYUI_FRONT_END` names another
front end than the installed one, by the folder `static` of its package.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.comfyui.browser import MISSING, VUE_NODES, Page, browsing
from tests.comfyui.server import PACK
from tests.own_server import OwnServer, installed_front_end, serving
from tests.workflows.names import WORKFLOWS

FRONT_END = os.environ.get("COMFYUI_FRONT_END") or installed_front_end()
pytestmark = pytest.mark.skipif(
    bool(MISSING) or FRONT_END is None,
    reason=f"not installed: {', '.join(MISSING) or 'comfyui-frontend-package'}",
)

FRONT_END_S_OWN = "ComfyApp graph accessed before initialization"
"""What 1.49.6 says at every start, over ComfyUI 0.33.0 as over this server: its store of the app
mode looks at `rootGraph` before `app.setup` has made one. 1.58.1 does not."""

LISTEN = """
window.told = []
for (const kind of arguments)
  app.api.addEventListener(kind, e => told.push([kind, e.detail?.nodes ?? e.detail?.node ?? null]))
"""
KINDS = (
    *("execution_start", "execution_cached", "execution_success", "execution_error"),
    *("execution_interrupted", "executed", "progress", "b_preview", "b_preview_with_metadata"),
)
GREETED = "/settings/Comfy.TutorialCompleted"
STEPS = 3


@dataclass(frozen=True)
class Session:
    """A page, and the server behind it."""

    server: OwnServer
    page: Page

    def start(self) -> None:
        """Load the page, and hear what the server tells it from then on."""
        self.page.open(self.server.url, "ControlStackApply")
        self.page.js(LISTEN, *KINDS)

    def open(self, name: str, steps: int = STEPS) -> None:
        """A shipped workflow on the canvas, with few steps."""
        self.page.open_graph(shipped(name))
        self.page.fill("KSampler", "steps", steps)

    def id(self, node_type: str) -> str:
        """The id of the first node of a type."""
        found = "return String(app.graph._nodes.find(n => n.type === arguments[0]).id)"
        return str(self.page.js(found, node_type))

    def run(self, times: int = 1) -> list[tuple[str, Any]]:
        """Click Run, wait until so many prompts have ended, and give all that was told."""
        self.page.js("told.length = 0")
        self.page.click("//button[normalize-space(.)='Run']")
        ended = "return told.filter(([kind]) => /_(success|error|interrupted)$/.test(kind)).length"
        self.page.until(lambda: self.page.js(ended) >= times, f"the end of {times} prompts")
        return self.told()

    def told(self) -> list[tuple[str, Any]]:
        """Kinds of messages since the last run began, each with its node or nodes."""
        return [(kind, data) for kind, data in self.page.js("return told")]

    def value(self, node_type: str, field: str) -> Any:
        """What a field of the first node of a type holds."""
        return self.page.js(
            "return app.graph._nodes.find(n => n.type === arguments[0])"
            ".widgets.find(w => w.name === arguments[1]).value",
            *(node_type, field),
        )

    def pictures(self) -> list[Path]:
        """What was saved, without previews."""
        return sorted((self.server.base / "output").glob("*.png"))

    def check(self) -> int:
        """No error in the console, no failed request, and none to another place; how many requests
        were looked at."""
        said = [one for one in self.page.all_complaints() if FRONT_END_S_OWN not in one]
        assert said == []
        asked = [one for one in self.page.requests() if not one[0].startswith(("data:", "blob:"))]
        assert [one for one in asked if not one[0].startswith(self.server.url)] == []
        assert [
            one for one in asked if one[1] != "under way" and not one[1].startswith(("2", "3"))
        ] == []
        return len(asked)


def shipped(name: str) -> dict[str, Any]:
    """A workflow of the pack, as its file has it."""
    document: dict[str, Any] = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """A server with the front end."""
    base = tmp_path_factory.mktemp("browser")
    with serving(base, "--front-end", str(FRONT_END)) as running:
        yield running


@pytest.fixture(scope="module")
def opened(server: OwnServer) -> Iterator[Session]:
    """The page of somebody who has been here before: no dialog greets."""
    with browsing(network=True) as page:
        server.post(GREETED, True)
        session = Session(server, page)
        session.start()
        yield session


@pytest.fixture
def session(opened: Session) -> Iterator[Session]:
    """The same page for test after test; what it complained of is looked at after each."""
    yield opened
    opened.check()


def test_the_templates_open_first_with_their_pictures(server: OwnServer) -> None:
    cards = "[...document.querySelectorAll('[data-testid^=\"template-workflow-\"]')]"
    shown = f"return {cards}.filter(card => card.querySelector('img')?.naturalWidth).length"
    server.post(GREETED, False)
    with browsing(network=True) as page:
        session = Session(server, page)
        session.start()
        page.until(lambda: page.js(shown) >= 8, "cards with their pictures")

        page.click("//*[@data-testid='template-workflow-pose']//h3")

        page.until_nodes(len(shipped("pose")["nodes"]))
        assert page.broken_nodes() == []
        assert session.check() > 50


def test_a_template_runs_and_then_only_what_changed(session: Session) -> None:
    session.page.open_template(PACK, "pose", len(shipped("pose")["nodes"]))
    session.page.fill("KSampler", "steps", STEPS)

    first = session.run()
    (address,) = session.page.run([session.id("SaveImage")])
    assert session.server.get(address.removeprefix(session.server.url)).kind.startswith("image/")
    session.page.fill("ControlStackAdd", "strength", 0.4)
    again = session.run()

    kinds = [kind for kind, _ in first]
    assert kinds[0] == "execution_start"
    assert kinds[-1] == "execution_success"
    assert kinds.count("progress") >= STEPS
    assert {"b_preview", "b_preview_with_metadata"} & set(kinds)
    (cached,) = (nodes for kind, nodes in again if kind == "execution_cached")
    kept = {session.id(name) for name in ("CheckpointLoaderSimple", "ControlStackDrawPose")}
    made = {session.id(name) for name in ("ControlStackAdd", "KSampler", "SaveImage")}
    assert kept <= set(cached)
    assert not made & set(cached)
    assert len(session.pictures()) == 2


def test_a_run_is_interrupted(session: Session) -> None:
    session.open("pose", steps=2000)
    session.page.js("told.length = 0")
    session.page.click("//button[normalize-space(.)='Run']")
    session.page.until(
        lambda: "progress" in [kind for kind, _ in session.told()], "the first steps"
    )

    session.page.click("//button[@aria-label='Cancel current run']")

    session.page.until(
        lambda: "execution_interrupted" in [kind for kind, _ in session.told()], "the stop"
    )
    session.page.until(
        lambda: session.server.get("/prompt").json["exec_info"]["queue_remaining"] == 0, "rest"
    )


def test_five_are_queued_and_drawn(session: Session) -> None:
    from selenium.webdriver import Keys

    session.open("pose")
    session.page.fill("KSampler", "control_after_generate", "increment")
    before = len(session.pictures())
    count = session.page.driver.find_element("xpath", "//input[@aria-label='Batch Count']")

    def typed(number: int) -> None:
        count.send_keys(Keys.CONTROL, "a")
        count.send_keys(str(number), Keys.ENTER)

    typed(5)
    try:
        told = session.run(times=5)
    finally:
        typed(1)

    assert [kind for kind, _ in told].count("execution_success") == 5
    made = session.pictures()[before:]
    assert len({path.read_bytes() for path in made}) == len(made) == 5


def test_a_dropped_picture_brings_its_workflow(session: Session) -> None:
    session.open("pose")
    (address,) = session.page.run([session.id("SaveImage")])
    session.page.open_graph(shipped("canny"))

    session.page.drop(address, "from_somebody.png")

    session.page.until_nodes(len(shipped("pose")["nodes"]))
    assert session.value("KSampler", "steps") == STEPS
    assert session.page.broken_nodes() == []


def test_a_picture_is_uploaded_and_used(session: Session) -> None:
    session.open("stack_pose_depth")
    session.page.drop("/view?type=input&filename=controlstack_depth.png", "mine.png", "8")

    session.page.until((session.server.base / "input" / "mine.png").is_file, "the upload")
    session.page.until(lambda: session.value("LoadImage", "image") == "mine.png", "its name")
    assert session.run()[-1][0] == "execution_success"


def test_a_mask_is_drawn_and_used(session: Session) -> None:
    from selenium.webdriver import ActionChains

    session.open("stack_pose_depth")
    session.page.js(
        "app.canvas.selectNode(app.graph.getNodeById(8));"
        "app.extensionManager.command.execute('Comfy.MaskEditor.OpenMaskEditor')"
    )
    area = "//*[@data-testid='pointer-zone' or @id='pointerZone']"
    save = "//*[@role='dialog']//button[normalize-space(.)='Save']"
    session.page.until(
        lambda: session.page.driver.find_element("xpath", save).is_enabled(), "the mask editor"
    )
    painted = "return document.querySelectorAll('[role=dialog] canvas')[0]?.width ?? 0"
    session.page.until(lambda: session.page.js(painted) >= 512, "the picture in it")
    brush = ActionChains(session.page.driver)
    brush.move_to_element(session.page.driver.find_element("xpath", area)).click_and_hold()
    brush.move_by_offset(60, 10).move_by_offset(30, 30).release().perform()

    session.page.click(save)

    session.page.until(
        lambda: "masked" in str(session.value("LoadImage", "image")), "the masked picture"
    )
    name = str(session.value("LoadImage", "image")).removesuffix(" [input]")
    with Image.open(session.server.base / "input" / name) as picture:
        assert picture.getchannel("A").getextrema() == (0, 255)
    assert session.run()[-1][0] == "execution_success"


def test_what_was_deleted_comes_back_by_undo(session: Session) -> None:
    from selenium.webdriver import ActionChains, Keys

    session.open("pose")
    nodes = len(shipped("pose")["nodes"])
    session.page.js("app.canvas.canvas.focus(); app.canvas.selectNode(app.graph.getNodeById(10))")
    ActionChains(session.page.driver).send_keys(Keys.DELETE).perform()
    session.page.until_nodes(nodes - 1)

    keys = ActionChains(session.page.driver)
    keys.key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()

    session.page.until_nodes(nodes)
    assert session.run()[-1][0] == "execution_success"


def test_nodes_in_a_subgraph_run(session: Session) -> None:
    session.open("pose")
    nodes = len(shipped("pose")["nodes"])
    session.page.js(
        "app.canvas.deselectAll();"
        "app.canvas.selectItems([6, 8, 9].map(id => app.graph.getNodeById(id)));"
        "return app.extensionManager.command.execute('Comfy.Graph.ConvertToSubgraph')"
    )
    session.page.until_nodes(nodes - 2)

    told = session.run()

    assert told[-1][0] == "execution_success"
    assert session.page.broken_nodes() == []


def test_a_node_that_is_not_here_is_named_before_a_run(session: Session) -> None:
    document = shipped("pose")
    document["nodes"][6]["type"] = "SomebodysOwnPreview"

    session.page.open_graph(document)

    session.page.until(lambda: "SomebodysOwnPreview" in session.page.text(), "its name")
    assert session.page.broken_nodes() == ["SomebodysOwnPreview"]


@pytest.mark.parametrize("name", ["stack_pose_depth", "control_sweep"])
def test_nodes_drawn_by_vue_run_as_well(server: OwnServer, name: str) -> None:
    server.post(GREETED, True)
    server.post(f"/settings/{VUE_NODES}", True)
    try:
        with browsing(network=True) as page:
            session = Session(server, page)
            session.start()
            session.open(name, steps=2)
            assert page.drawn_by_vue()
            kinds = [kind for kind, _ in session.run()]
            assert kinds[-1] == "execution_success"
            assert page.broken_nodes() == []
            assert page.overlaps() == []
            assert session.check() > 50
    finally:
        server.post(f"/settings/{VUE_NODES}", False)


def test_a_saved_workflow_outlives_the_server(tmp_path: Path) -> None:
    from selenium.webdriver import ActionChains, Keys

    options = ("--front-end", str(FRONT_END))
    kept = tmp_path / "user" / "default" / "workflows" / "kept.json"
    with browsing(network=True) as page:
        with serving(tmp_path, *options) as server:
            server.post(GREETED, True)
            session = Session(server, page)
            session.start()
            session.open("pose")
            keys = ActionChains(page.driver)
            keys.key_down(Keys.CONTROL).send_keys("s").key_up(Keys.CONTROL).perform()
            field = "//*[@role='dialog']//input[@type='text']"
            page.until(lambda: page.driver.find_element("xpath", field).is_displayed(), "a field")
            typing = page.driver.find_element("xpath", field)
            typing.send_keys(Keys.CONTROL, "a")
            typing.send_keys("kept", Keys.ENTER)
            page.until(kept.is_file, "the file")
            assert session.check() > 50
            page.driver.get("about:blank")  # else it would go on asking for what runs
        with serving(tmp_path, *options) as server:
            session = Session(server, page)
            session.start()
            page.click("//button[starts-with(@aria-label, 'Workflows')]")
            page.click(
                "//*[contains(@class, 'tree') or @role='treeitem'][normalize-space(.)='kept']"
            )
            page.until_nodes(len(shipped("pose")["nodes"]))
            assert session.value("KSampler", "steps") == STEPS
            session.check()
