"""Take docs/comfyui.png: a shipped workflow in the front end, run with the demo models.

COMFYUI_PATH=... python -m tools.comfyui_screenshot docs/comfyui.png
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from controlstack.demo.models import NATIVE
from tests.comfyui import shipped
from tests.comfyui.browser import VUE_NODES, browsing
from tests.comfyui.server import PACK, serving

DEMO_PACK = Path(shipped.__file__).with_name("demo_pack.py")
NAME = "stack_pose_depth"
WINDOW = (1760, 1140)
NOTICE_SECONDS = 8  # for as long the page says that the run is over
CLOSE_NOTICES = (
    "for (const cross of document.querySelectorAll('.p-toast-close-button')) cross.click()"
)
"""Such as that the templates' package of the tests is older than the front end."""


def main() -> None:
    """Write the picture to the path that was given."""
    document = json.loads((shipped.WORKFLOWS / f"{NAME}.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        shipped.write_stand_ins(Path(folder))
        comfyui = Path(os.environ["COMFYUI_PATH"]).resolve()
        with serving(comfyui, Path(folder), further=[DEMO_PACK]) as server, browsing() as page:
            page.driver.set_window_size(*WINDOW)
            server.post("/settings/Comfy.TutorialCompleted", True)
            server.post("/settings/Comfy.Minimap.Visible", False)
            server.post(f"/settings/{VUE_NODES}", True)  # shows small pictures large
            page.open(server.url, "ControlStackApply")
            page.open_template(PACK, NAME, len(document["nodes"]))
            for node_type in ("EmptyLatentImage", "ImageScale", "ControlStackDrawPose"):
                for field in ("width", "height"):
                    page.fill(node_type, field, NATIVE)
            shown = ("SaveImage", "PreviewImage")
            page.run([str(node["id"]) for node in document["nodes"] if node["type"] in shown])
            time.sleep(NOTICE_SECONDS)
            page.js(CLOSE_NOTICES)
            time.sleep(1)
            page.screenshot(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
