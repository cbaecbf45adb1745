"""Take docs/stack.jpg: ControlNet Stack with rows, one unfolded, and its timeline.

COMFYUI_PATH=... python -m tools.stack_screenshot docs/stack.jpg
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

NODE = "ControlStackRows"
WINDOW = (1500, 1080)
WORKFLOW = Path(__file__).parents[1] / "workflows" / "controlnet_stack.json"
VALUE = {
    "version": 1,
    "timeline": True,
    "rows": [
        {
            "id": 1, "on": True, "file": "control_v11p_sd15_openpose_fp16.safetensors",
            "strength": 1, "start": 0, "end": 0.75,
        },
        {
            "id": 2, "on": True, "file": "control_v11f1p_sd15_depth_fp16.safetensors",
            "strength": 0.9, "start": 0, "end": 1, "open": True, "sockets": ["mask"],
            "curve": {"points": [[0, 1], [0.35, 0.9], [0.8, 0.2]], "between": "smooth"},
        },
    ],
}  # fmt: skip

SHOW = """
const [type, value] = arguments
const [node] = app.graph.findNodesByType(type)
node.controlstack.set(JSON.parse(value))
node.controlstack.light(1)
node.pos = [480, 60]
const near = {7: [40, -40], 8: [40, 600], 15: [1040, 60]}
for (const other of app.graph._nodes) if (other !== node) other.pos = near[other.id] ?? [9000, 9000]
app.canvas.ds.scale = 1
app.canvas.ds.offset = [20, 80]
app.canvas.setDirty(true, true)
"""


def main() -> None:
    """Write the picture to the path that was given."""
    path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        shipped.write_files(base)
        comfyui = Path(os.environ["COMFYUI_PATH"]).resolve()
        with serving(comfyui, base) as server, browsing() as page:
            page.driver.set_window_size(*WINDOW)
            server.post("/settings/Comfy.TutorialCompleted", True)
            server.post(f"/settings/{VUE_NODES}", False)
            page.open(server.url, NODE)
            page.open_graph(json.loads(WORKFLOW.read_text(encoding="utf-8")))
            page.js(SHOW, NODE, json.dumps(VALUE))
            time.sleep(3)
            page.js("document.querySelectorAll('.p-toast-message').forEach(one => one.remove())")
            page.screenshot(path)
    with Image.open(path) as whole:
        shown = whole.convert("RGB").crop((60, 60, WINDOW[0], WINDOW[1] - 200))
    shown.save(path, "JPEG", quality=80, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
