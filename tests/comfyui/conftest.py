"""The suite against a real ComfyUI.

`COMFYUI_PATH` names the folder of its source, and pytest runs under a Python that has ComfyUI's
requirements; without it every test here is reported as skipped. No double of ComfyUI anywhere.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from controlstack.nodes.hints import WITH_SETTINGS
from tests.comfyui import shipped
from tests.comfyui.browser import VUE_NODES, Page, browsing
from tests.comfyui.models import Shelf
from tests.comfyui.parity import Parity
from tests.comfyui.server import PACK, Server, serving

HERE = Path(__file__).parent


def comfyui_path() -> Path | None:
    """The folder of ComfyUI's source, or None where there is none to test against."""
    named = os.environ.get("COMFYUI_PATH")
    return Path(named).resolve() if named else None


def gguf_pack() -> Path:
    """The folder of ComfyUI-GGUF's source; a test that asks is skipped without it, or without the
    library that the pack reads such files with."""
    named = os.environ.get("COMFYUI_GGUF_PATH")
    if not named:
        pytest.skip("set COMFYUI_GGUF_PATH to a ComfyUI-GGUF")
    pytest.importorskip("gguf")
    return Path(named).resolve()


def has_dynamic_combos() -> bool:
    """Whether this ComfyUI knows menus that bring inputs of their own, by its source."""
    schema = (comfyui_path() or HERE) / "comfy_api" / "latest" / "_io.py"
    return schema.is_file() and "class DynamicCombo" in schema.read_text(encoding="utf-8")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the whole folder, and skip it where there is no ComfyUI; and the node with a menu of
    settings where there are no such menus."""
    skip = pytest.mark.skip(reason="set COMFYUI_PATH to a ComfyUI to run this against it")
    older = pytest.mark.skip(reason=f"this ComfyUI has no DynamicCombo, so no {WITH_SETTINGS}")
    is_older = comfyui_path() is not None and not has_dynamic_combos()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.comfyui)
            if comfyui_path() is None:
                item.add_marker(skip)
            params = getattr(item, "callspec", None)
            if is_older and params is not None and WITH_SETTINGS in params.params.values():
                item.add_marker(older)


@pytest.fixture(scope="session")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """ComfyUI's `comfy` package in this process, on the CPU, with folders of its own.

    Import its other modules inside tests and fixtures that ask for this one.
    """
    path = comfyui_path()
    assert path is not None, "a test asked for ComfyUI and was not skipped"
    # In front: a checkout of this repository has top-level folders (`nodes`) of the same names.
    sys.path.insert(0, str(path))
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    import comfy.sample
    import comfy.sd
    import comfy.utils
    import folder_paths

    importlib.import_module("utils.extra_config")  # as main.py does, before comfy/utils.py hides it

    base = tmp_path_factory.mktemp("comfyui")
    for kind in ("input", "output", "temp"):
        (base / kind).mkdir()
        getattr(folder_paths, f"set_{kind}_directory")(str(base / kind))
    return comfy


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server in a process of its own, with the files that the shipped workflows name."""
    path = comfyui_path()
    assert path is not None, "a test asked for ComfyUI and was not skipped"
    pytest.importorskip("websocket", reason="install websocket-client to hear what it tells")
    base = tmp_path_factory.mktemp("server")
    shipped.write_files(base)
    with serving(path, base) as running:
        yield running


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "Nodes 2.0"])
def page(request: pytest.FixtureRequest, server: Server) -> Iterator[Page]:
    """The page of somebody who has been here before, in both ways of drawing nodes."""
    assert server.post("/settings/Comfy.TutorialCompleted", True).status == 200
    server.post(f"/settings/{VUE_NODES}", request.param)
    try:
        with browsing() as opened:
            opened.open(server.url, "ControlStackAdd")
            opened.complaints(PACK)
            yield opened
    finally:
        server.post(f"/settings/{VUE_NODES}", False)


@pytest.fixture(scope="session")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose loaders give the demo models."""
    pytest.importorskip("websocket", reason="install websocket-client to hear what it tells")
    base = tmp_path_factory.mktemp("demo_server")
    shipped.write_stand_ins(base)
    path = comfyui_path()
    assert path is not None
    with serving(path, base, further=[HERE / "demo_pack.py"]) as running:
        yield running


@pytest.fixture(scope="session")
def shelf(comfy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Random-weight models of every family, loaded by ComfyUI's own loaders when asked for."""
    shelf = Shelf(tmp_path_factory.mktemp("models"))
    yield shelf
    shelf.close()  # pytest would keep them for the next three runs


@pytest.fixture
def parity(request: pytest.FixtureRequest, comfy: ModuleType) -> Parity:
    """Compares with the core, and counts for the summary."""
    return Parity(request.node.user_properties)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many comparisons with the core were equal in every bit, family by family."""
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call"
    ]
    equal = Counter(
        str(family)
        for report in reports
        for name, family in report.user_properties
        if name == "bit-equal"
    )
    if equal:
        terminalreporter.section("parity with ComfyUI's own nodes")
        for family, count in sorted(equal.items()):
            terminalreporter.line(f"{family:12} {count:4} bit-equal")
        terminalreporter.line(f"{'all':12} {equal.total():4} bit-equal")
