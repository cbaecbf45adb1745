"""What was recorded of the front end is what it sends today, in both ways of drawing nodes."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version

import pytest

from tests.comfyui.browser import MISSING, Page
from tests.workflows.canvas.recorded import FOLDER, OLDER, PACKS, READ, recording_of
from tools.record_canvas import sent

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

NAMES = sorted(
    path.stem for path in FOLDER.glob("*.json") if path.stem not in (*OLDER, *PACKS, *READ)
)


@pytest.mark.parametrize("name", NAMES)
def test_the_recordings_hold(page: Page, name: str) -> None:
    recording = json.loads(recording_of(name).read_text(encoding="utf-8"))
    try:
        here = version("comfyui_frontend_package")
    except PackageNotFoundError:
        here = "another"
    if here != recording["by"]["front_end"]:
        pytest.skip(f"recorded with front end {recording['by']['front_end']}, this one is {here}")
    assert sent(page, name) == recording["prompt"]
