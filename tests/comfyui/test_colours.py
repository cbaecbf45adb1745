"""In the real front end: the pack's own types have colours, and a user's palette goes before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controlstack.nodes.stack import FACTOR, STACK
from controlstack.nodes.train_values import DATA, TRAINABLE
from tests.comfyui.browser import MISSING, VUE_NODES, Page, browsing
from tests.comfyui.server import PACK, Server

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

TYPES = (STACK, FACTOR, TRAINABLE, DATA)
THEIRS = "#123456"
PALETTE = "Comfy.ColorPalette"


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[Page]:
    """The page with nodes drawn by Vue, where the front end can: it keeps the canvas's too."""
    assert server.post("/settings/Comfy.TutorialCompleted", True).status == 200
    server.post(f"/settings/{VUE_NODES}", True)
    try:
        with browsing() as opened:
            opened.open(server.url, "ControlStackAdd")
            yield opened
    finally:
        server.post(f"/settings/{VUE_NODES}", False)
        server.post(f"/settings/{PALETTE}", "dark")


def colours(page: Page) -> list[list[str]]:
    """Of each type: the wire's, the socket's on the canvas, and the socket's in Nodes 2.0."""
    found: list[list[str]] = page.js(
        "const style = getComputedStyle(document.documentElement);"
        "return arguments[0].map(type => [LGraphCanvas.link_type_colors[type],"
        " app.canvas.default_connection_color_byType[type],"
        " style.getPropertyValue(`--color-datatype-${type}`).trim()])",
        TYPES,
    )
    return found


def test_each_type_has_one_colour_everywhere(page: Page) -> None:
    first = colours(page)
    assert all(len(set(one)) == 1 and one[0].startswith("#") for one in first)
    others = set(page.js("return Object.values(LGraphCanvas.link_type_colors)"))
    assert len({one[0] for one in first}) == len(TYPES)
    assert {one[0] for one in first} <= others
    page.complaints(PACK)
    page.js("app.extensionManager.setting.set(arguments[0], 'light')", PALETTE)
    page.until(lambda: "dark-theme" not in page.js("return document.body.className"), "light")
    assert colours(page) == first
    assert page.complaints(PACK) == []


def test_a_palette_of_the_user_goes_before(page: Page) -> None:
    page.js("LGraphCanvas.link_type_colors[arguments[0]] = arguments[1]", STACK, THEIRS)
    assert colours(page)[0][0] == THEIRS
    page.js("LGraphCanvas.link_type_colors[arguments[0]] = ''", STACK)
    assert colours(page)[0][0] not in ("", THEIRS)
