"""Take docs/toast.png: what the front end shows of a node that refuses what it is given.

COMFYUI_PATH=... python -m tools.toast_screenshot docs/toast.png
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from tests.comfyui import shipped
from tests.comfyui.browser import VUE_NODES, browsing
from tests.comfyui.server import serving
from tools.comfyui_screenshot import CLOSE_NOTICES

NAME = "pose"
NODE = "ControlStackDrawPose"
POSE = '{"people": [{"pose_keypoints_2d": [0.5, 0.2, 1, 0.5]}]}'
WINDOW = (1500, 900)
PART = (0.27, 0, 1, 0.62)
"""Of the window's width and height: from the left, from the top, to the right, to the bottom."""

LOOK = """
const node = app.graph._nodes.find(n => n.type === arguments[0])
node.title = 'Two dancers'
const {ds} = app.canvas
ds.scale = 1
ds.offset = [460 - node.pos[0], 90 - node.pos[1]]
app.canvas.setDirty(true, true)
"""


def main() -> None:
    """Write the picture to the path that was given."""
    document = json.loads((shipped.WORKFLOWS / f"{NAME}.json").read_text())
    path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        shipped.write_stand_ins(Path(folder))
        comfyui = Path(os.environ["COMFYUI_PATH"]).resolve()
        with serving(comfyui, Path(folder)) as server, browsing() as page:
            page.driver.set_window_size(*WINDOW)
            server.post("/settings/Comfy.TutorialCompleted", True)
            server.post("/settings/Comfy.Minimap.Visible", False)
            server.post(f"/settings/{VUE_NODES}", True)
            page.open(server.url, NODE)
            page.open_graph(document)
            page.js(LOOK, NODE)
            page.fill(NODE, "pose_json", POSE)
            page.js(CLOSE_NOTICES)
            page.click("//button[normalize-space(.)='Run']")
            time.sleep(3)  # messages slide in
            page.screenshot(path)
    with Image.open(path) as whole:
        box = [round(part * side) for part, side in zip(PART, whole.size * 2, strict=True)]
        cut = whole.convert("RGB").crop((box[0], box[1], box[2], box[3]))
    cut.quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main()
