"""ComfyUI's front end in headless Chromium: what a person clicks, and what its canvas holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MISSING = [
    name
    for name, found in (
        ("selenium", find_spec("selenium")),
        ("chromium", CHROMIUM),
        ("chromedriver", DRIVER),
    )
    if not found
]
PATIENCE_SECONDS = 90
VUE_NODES = "Comfy.VueNodes.Enabled"
"""The setting by which newer front ends draw nodes as elements of the page; others ignore it."""
NO_SUCH_FILE = "Failed to load resource"
"""How the console words a request that failed: also for settings that nobody has made yet."""

_SCROLL_TO_CARD = """
const cards = [...document.querySelectorAll('[data-testid^="template-workflow-"]')]
if (cards.some(card => card.dataset.testid === arguments[0])) return true
cards.at(-1)?.scrollIntoView()
"""
"""Whether the templates' dialog shows a card: it makes the first dozen, and more as one scrolls."""

_DROP = """
const [url, name, id, done] = arguments
fetch(url).then(answer => answer.blob()).then(blob => {
  const data = new DataTransfer()
  data.items.add(new File([blob], name, { type: blob.type }))
  const box = app.canvas.canvas.getBoundingClientRect()
  const node = id && app.graph.getNodeById(id)
  let [x, y] = [300, 300]
  if (node) [x, y] = app.canvas.ds.convertOffsetToCanvas([node.pos[0] + 60, node.pos[1] + 10])
  else while (app.graph.getNodeOnPos(...app.canvas.ds.convertCanvasToOffset([x, y]))) x += 10
  const where = { clientX: box.x + x, clientY: box.y + y, dataTransfer: data }
  for (const kind of ['dragenter', 'dragover', 'drop'])
    app.canvas.canvas.dispatchEvent(
      new DragEvent(kind, { bubbles: true, cancelable: true, ...where })
    )
  done()
})
"""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Page:
    """The front end of one server, opened in a browser of its own."""

    driver: Any

    def js(self, script: str, *arguments: object) -> Any:
        """What `script` returns in the page."""
        return self.driver.execute_script(script, *arguments)

    def until(self, look: Callable[[], Found], what: str) -> Found:
        """`look`, again and again until it finds something; pages redraw under one's hands."""
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.ui import WebDriverWait

        wait = WebDriverWait(
            self.driver, PATIENCE_SECONDS, 0.2, ignored_exceptions=(WebDriverException,)
        )
        found: Found = wait.until(lambda _: look(), what)
        return found

    def click(self, xpath: str) -> None:
        """Click what `xpath` finds first, as soon as nothing lies over it."""

        def clicked() -> bool:
            element = self.driver.find_element("xpath", xpath)
            self.js("arguments[0].scrollIntoView({block: 'center'})", element)
            element.click()
            return True

        self.until(clicked, f"to click {xpath}")

    def open(self, url: str, node_type: str) -> None:
        """Load the page afresh and wait until it knows `node_type`."""
        self.driver.get(url.partition("#")[0])  # with what is behind it nothing is loaded again
        self.until(
            lambda: self.js(
                "return !!window.app?.graph && arguments[0] in LiteGraph.registered_node_types",
                node_type,
            ),
            f"the node type {node_type}",
        )
        self._settle()

    def open_template(self, pack: str, name: str, nodes: int) -> None:
        """Through the dialog: Templates, the pack's category, the picture's title."""
        self.click("//button[@aria-label='Templates']")
        self.click(f"//*[@role='option' or @role='button'][normalize-space(.)='{pack}']")
        card = f"template-workflow-{name}"
        self.until(lambda: self.js(_SCROLL_TO_CARD, card), f"the template {name}")
        self.click(f"//*[@data-testid='{card}']//h3")
        self.until_nodes(nodes)

    def open_graph(self, document: dict[str, Any]) -> None:
        """As a file dropped on the canvas."""
        self.js("app.loadGraphData(JSON.parse(arguments[0]))", json.dumps(document))
        self.until_nodes(len(document["nodes"]))

    def until_nodes(self, count: int) -> None:
        """Wait until the canvas has this many nodes, and has drawn them."""
        self.until(
            lambda: self.js("return app.graph._nodes.length === arguments[0]", count),
            f"{count} nodes on the canvas",
        )
        self._settle()

    def _settle(self) -> None:
        self.driver.execute_async_script(
            "const done = arguments[0];"
            "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 500)))"
        )

    def saved(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the front end's Save and Export (API) write: the canvas, and the API form."""
        both = self.driver.execute_async_script(
            "const done = arguments[0]; app.graphToPrompt().then(p => done(JSON.stringify(p)))"
        )
        read = json.loads(both)
        return read["workflow"], read["output"]

    def broken_nodes(self) -> list[str]:
        """The nodes that are drawn red, or of a type that the page does not know."""
        found: list[str] = self.js(
            "return app.graph._nodes"
            ".filter(n => n.has_errors || !(n.type in LiteGraph.registered_node_types))"
            ".map(n => n.type)"
        )
        return found

    def fields(self) -> list[tuple[str, list[str]]]:
        """Every node's type and the names of the fields that are drawn on it."""
        found = self.js(
            "return app.graph._nodes.map(n => [n.type, (n.widgets ?? []).map(w => w.name)])"
        )
        return [(node_type, names) for node_type, names in found]

    def overlaps(self) -> list[tuple[str, str]]:
        """The pairs of nodes that lie over one another, titles included."""
        boxes = self.js(
            "return app.graph._nodes.map(n => [n.title, n.pos[0],"
            " n.pos[1] - LiteGraph.NODE_TITLE_HEIGHT, n.pos[0] + n.size[0], n.pos[1] + n.size[1]])"
        )
        return [
            (a[0], b[0])
            for index, a in enumerate(boxes)
            for b in boxes[index + 1 :]
            if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]
        ]

    def drawn_by_vue(self) -> bool:
        """Whether nodes are elements of the page, and not only drawn on its canvas."""
        return bool(self.js("return document.querySelector('[data-node-id]') !== null"))

    def width(self, node: int) -> float:
        """How wide the node of this id is on the canvas."""
        return float(self.js("return app.graph.getNodeById(arguments[0]).size[0]", node))

    def fill(self, node_type: str, field: str, value: object) -> None:
        """Put `value` into `field` of every node of `node_type`."""
        self.js(
            "for (const n of app.graph._nodes) if (n.type === arguments[0])"
            " n.widgets.find(w => w.name === arguments[1]).value = arguments[2]",
            *(node_type, field, value),
        )

    def run(self, nodes: list[str]) -> list[str]:
        """Click Run and wait for the pictures on `nodes`; their addresses."""
        self.click("//button[normalize-space(.)='Run']")
        shown = (
            "return arguments[0].map(id => app.graph.getNodeById(id)?.imgs?.[0])"
            ".map(i => i?.complete && i.naturalWidth ? i.src : null)"
        )
        self.until(lambda: None not in self.js(shown, nodes), f"pictures on the nodes {nodes}")
        addresses: list[str] = self.js(shown, nodes)
        return addresses

    def text(self) -> str:
        """All text that the page shows outside of the canvas."""
        return str(self.js("return document.body.innerText"))

    def complaints(self, pack: str) -> list[str]:
        """Errors in the console since the last call: all of the pack's, and every exception."""
        messages = [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE"
        ]
        return [said for said in messages if pack in said or NO_SUCH_FILE not in said]

    def all_complaints(self) -> list[str]:
        """Every error in the console since the last call."""
        entries = self.driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def requests(self) -> list[tuple[str, str]]:
        """The addresses that were asked since the last call, with what became of each: its status,
        or why there is none. Those that the page itself gave up are left out.

        Only for a page of `browsing(network=True)`.
        """
        asked: dict[str, str] = {}
        became: dict[str, str] = {}
        for entry in self.driver.get_log("performance"):
            told = json.loads(entry["message"])["message"]
            key = told["params"].get("requestId")
            if told["method"] == "Network.requestWillBeSent":
                asked[key] = told["params"]["request"]["url"]
            elif told["method"] == "Network.responseReceived":
                asked[key] = told["params"]["response"]["url"]
                became[key] = str(told["params"]["response"]["status"])
            elif told["method"] == "Network.loadingFailed":
                given_up = told["params"].get("canceled")
                became[key] = "given up" if given_up else told["params"]["errorText"]
        return [
            (url, became.get(key, "under way"))
            for key, url in asked.items()
            if became.get(key) != "given up"
        ]

    def drop(self, url: str, name: str, node: str | None = None) -> None:
        """Drop what lies at `url`, as a file called `name`, on a node or beside all nodes."""
        self.driver.execute_async_script(_DROP, url, name, node)

    def screenshot(self, path: Path) -> None:
        """The whole window as a PNG."""
        assert self.driver.save_screenshot(str(path))


@contextmanager
def browsing(network: bool = False) -> Iterator[Page]:
    """A Chromium of its own, which is ended again; with `network` it keeps what it asks for."""
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{flag}")
    options.add_argument("--window-size=1920,1200")
    logs = {"browser": "ALL", **({"performance": "ALL"} if network else {})}
    options.set_capability("goog:loggingPrefs", logs)
    driver = Chrome(options=options, service=ChromeService(DRIVER))
    driver.set_script_timeout(PATIENCE_SECONDS)
    try:
        yield Page(driver)
    finally:
        driver.quit()
