"""Take docs/train-nodes.png: workflows/train.json in the front end, run on the demo model.

COMFYUI_PATH=... python -m tools.train_screenshot docs/train-nodes.png
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from PIL import Image

from controlstack.demo.training_folder import write_folder
from tests.comfyui import browser, shipped
from tests.comfyui.browser import VUE_NODES, browsing
from tests.comfyui.server import serving
from tools.comfyui_screenshot import DEMO_PACK

WORKFLOW = Path(__file__).resolve().parents[1] / "workflows" / "train.json"
WINDOW = (1880, 1290)
PICTURES = 500
SETTINGS = {
    "ControlStackTrainingData": {"resolution": "128", "condition": "canny", "flip": 0.0},
    # As in docs/train-example.toml, half as long.
    "ControlStackControlNetFromModel": {"hint_channels": "8,16,32,64", "hint_gain": 2.5},
    "ControlStackTrain": {
        **{"steps": 200, "batch": 8, "accumulate": 1, "rate": 1e-3, "new_rate": 3e-3},
        **{"warmup": 20, "schedule": "cosine", "offset_noise": 0.3, "min_snr": 5.0},
        **{"timesteps": "stratified", "precision": "fp32", "log_every": 5, "validate_every": 25},
    },
}


def main() -> None:
    """Write the picture to the path that was given."""
    document = json.loads(WORKFLOW.read_text())
    browser.PATIENCE_SECONDS = 3600  # the training is waited for
    with tempfile.TemporaryDirectory() as folder:
        shipped.write_stand_ins(Path(folder))
        data = Path(folder) / "pictures"
        write_folder(data, PICTURES, "canny")
        SETTINGS["ControlStackTrainingData"]["path"] = str(data)
        comfyui = Path(os.environ["COMFYUI_PATH"]).resolve()
        with serving(comfyui, Path(folder), further=[DEMO_PACK]) as server, browsing() as page:
            page.driver.set_window_size(*WINDOW)
            server.post("/settings/Comfy.TutorialCompleted", True)
            server.post("/settings/Comfy.Minimap.Visible", False)
            server.post(f"/settings/{VUE_NODES}", True)
            page.open(server.url, "ControlStackTrain")
            page.open_graph(document)
            for node_type, values in SETTINGS.items():
                for field, value in values.items():
                    page.fill(node_type, field, value)
            nodes = document["nodes"]
            page.run([str(node["id"]) for node in nodes if node["type"] == "PreviewImage"])
            page.fill("ControlStackTrainingData", "path", "/home/me/pictures")
            page.js("document.activeElement.blur()")
            page.screenshot(Path(sys.argv[1]))
    with Image.open(sys.argv[1]) as picture:
        picture.convert("P", palette=Image.Palette.ADAPTIVE).save(sys.argv[1], optimize=True)


if __name__ == "__main__":
    main()
