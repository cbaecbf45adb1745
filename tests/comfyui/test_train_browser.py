"""workflows/train.json in the real front end: whole, with every value where it belongs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import load_workflow, read_workflow
from tests.comfyui.browser import MISSING, VUE_NODES, Page, browsing
from tests.comfyui.server import PACK, Server
from tests.comfyui.test_browser import check_canvas, inputs

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

WORKFLOW = Path(__file__).resolve().parents[2] / "workflows" / "train.json"


@pytest.fixture(params=[False, True], ids=["canvas", "vue"])
def page(server: Server, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The server's page, with nodes drawn on the canvas or as elements of the page."""
    server.post("/settings/Comfy.TutorialCompleted", True)
    server.post(f"/settings/{VUE_NODES}", request.param)
    try:
        with browsing() as opened:
            opened.open(server.url, "ControlStackTrain")
            opened.complaints(PACK)
            yield opened
    finally:
        server.post(f"/settings/{VUE_NODES}", False)


def test_it_opens_whole_and_is_saved_as_it_was(page: Page) -> None:
    document = json.loads(WORKFLOW.read_text())
    page.open_graph(document)
    first = document["nodes"][0]
    if page.drawn_by_vue() and page.width(first["id"]) != first["size"][0]:
        pytest.skip("this front end's nodes by Vue are not of the size that is saved")
    check_canvas(page, load_workflow(WORKFLOW, default_registry()))
    assert page.complaints(PACK) == []


def test_what_is_typed_is_read_by_name_in_either_host(page: Page) -> None:
    page.open_graph(json.loads(WORKFLOW.read_text()))
    typed = {"seed": 5, "log_every": 77, "schedule": "cosine", "unlock_decoder": True, "rate": 2e-6}
    for field, value in typed.items():
        page.fill("ControlStackTrain", field, value)
    page.fill("ControlStackControlNetFromModel", "net_seed", 9)

    canvas, api = page.saved()

    registry = default_registry()
    saved = inputs(read_workflow(canvas, registry, "saved"))
    assert saved == inputs(read_workflow(api, registry, "exported"))
    found = dict(saved.values())
    assert {name: found["ControlStackTrain"][name] for name in typed} == typed
    assert found["ControlStackControlNetFromModel"]["net_seed"] == 9
    # A click of the queue must not make it another training.
    for _, names in page.fields():
        assert not [name for name in names if "control" in name and "generate" in name]
