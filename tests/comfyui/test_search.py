"""In the real front end's search box: who looks for ControlNets finds the pack's nodes at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controlstack.nodes import NODE_DISPLAY_NAME_MAPPINGS as TITLES
from tests.comfyui.browser import MISSING, Page, browsing
from tests.comfyui.server import Server

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

SOUGHT = {
    "controlnet": ("ControlStackRows",),
    "controlnet stack": ("ControlStackRows", "ControlStackApply"),
    "apply controlnet": ("ControlStackApply",),
    "add controlnet": ("ControlStackAdd",),
}
"""What people type, and what they find without scrolling. A title that does not begin with what is
typed comes after the dozen of the core's ids that do, so "controlnet" alone leads to the node that
does all."""

_RESULTS = """
const found = [...document.querySelectorAll(
  '[data-testid="result-item"], .p-autocomplete-option')]
const inside = found[0]?.closest('.p-autocomplete-list-container, #results-list')
const box = inside?.getBoundingClientRect()
return found.map(one => {
  const {top, bottom} = one.getBoundingClientRect()
  return [one.innerText, top >= box.top - 1 && bottom <= box.bottom + 1]
})
"""
"""The texts of what was found, in order, and whether each is in sight."""


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[Page]:
    """The page of somebody who has been here before."""
    assert server.post("/settings/Comfy.TutorialCompleted", True).status == 200
    with browsing() as opened:
        yield opened


def search(page: Page, server: Server, query: str) -> list[tuple[str, bool]]:
    """Double-click the canvas and type."""
    from selenium.webdriver.common.action_chains import ActionChains

    page.open(server.url, "ControlStackAdd")
    page.js("app.graph.clear()")
    canvas = page.driver.find_element("css selector", "#graph-canvas")
    ActionChains(page.driver).move_to_element(canvas).double_click().pause(1).perform()
    ActionChains(page.driver).send_keys(query).pause(1).perform()
    page.until(lambda: page.js(_RESULTS), f"what is found for {query}")
    return [(text, seen) for text, seen in page.js(_RESULTS)]


@pytest.mark.parametrize("query", SOUGHT)
def test_its_nodes_are_on_the_first_page(
    page: Page, server: Server, query: str, tmp_path: Path
) -> None:
    found = search(page, server, query)
    page.screenshot(tmp_path / "search.png")
    titles = [text.split("\n")[0].strip() for text, _ in found]
    first = sum(seen for _, seen in found)
    ranks = {node: titles.index(TITLES[node]) + 1 if TITLES[node] in titles else None
             for node in SOUGHT[query]}  # fmt: skip
    print(f"\n{query}: {first} in sight of {len(found)}; {ranks}")
    assert all(rank is not None and rank <= first for rank in ranks.values()), titles[:30]
