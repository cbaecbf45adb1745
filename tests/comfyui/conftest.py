"""The suite against a real ComfyUI.

`COMFYUI_PATH` names the folder of its source, and pytest runs under a Python that has ComfyUI's
requirements; without it every test here is reported as skipped. No double of ComfyUI anywhere.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from controlstack.nodes import host

HERE = Path(__file__).parent


def comfyui_path() -> Path | None:
    """The folder of ComfyUI's source, or None where there is none to test against."""
    named = os.environ.get("COMFYUI_PATH")
    return Path(named).resolve() if named else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the whole folder, and skip it where there is no ComfyUI."""
    skip = pytest.mark.skip(reason="set COMFYUI_PATH to a ComfyUI to run this against it")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.comfyui)
            if comfyui_path() is None:
                item.add_marker(skip)


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

    base = tmp_path_factory.mktemp("comfyui")
    for kind in ("input", "output", "temp"):
        (base / kind).mkdir()
        getattr(folder_paths, f"set_{kind}_directory")(str(base / kind))
    return comfy


@pytest.fixture(autouse=True)
def inside_comfyui(monkeypatch: pytest.MonkeyPatch) -> None:
    """No embedded host is installed, as in ComfyUI's own process."""
    monkeypatch.setattr(host, "_installed", [])
