"""Take docs/pose-editor.jpg: the window in which a pose is edited.

COMFYUI_PATH=... python -m tools.pose_screenshot docs/pose-editor.jpg
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from controlstack.nodes.hint_inputs import STANDING
from tests.comfyui.browser import browsing
from tests.comfyui.server import serving

NODE = "ControlStackDrawPose"
WINDOW = (1500, 900)
SIZE = 640, 512
HAND = [(0.0, 0.0)] + [
    (reach * math.sin(angle), reach * math.cos(angle))
    for angle in (-1.0, -0.5, -0.15, 0.2, 0.55)
    for reach in (10.0, 19.0, 26.0, 32.0)
]

SHOW = """
const [type, text, width, height] = arguments
app.graph.clear()
const node = LiteGraph.createNode(type)
node.pos = [100, 100]
app.graph.add(node)
for (const [name, value] of [['pose_json', text], ['width', width], ['height', height]]) {
  node.widgets.find(w => w.name === name).value = value
}
"""


def pose() -> dict[str, Any]:
    """Two people, one with a raised arm and a hand, and a wrist that is hidden."""
    (standing,) = STANDING["people"]
    numbers = standing["pose_keypoints_2d"]
    joints = [(SIZE[1] * numbers[i], SIZE[1] * numbers[i + 1]) for i in range(0, len(numbers), 3)]
    left = [(x - 90, y) for x, y in joints]
    right = [(x + 190, y) for x, y in joints]
    right[3], right[4] = (right[2][0] - 56, right[2][1] - 8), (right[2][0] - 76, right[2][1] - 70)
    hand = [(right[4][0] + x, right[4][1] - y) for x, y in HAND]
    people = [_flat(left), _flat(right)]
    people[0][3 * 7 + 2] = 0
    return {
        "people": [
            {"pose_keypoints_2d": people[0]},
            {"pose_keypoints_2d": people[1], "hand_right_keypoints_2d": _flat(hand)},
        ],
        "canvas_width": SIZE[0],
        "canvas_height": SIZE[1],
    }


def _flat(points: list[tuple[float, float]]) -> list[float]:
    return [round(number, 1) for x, y in points for number in (x, y, 1)]


def main() -> None:
    """Write the picture to the path that was given."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        comfyui = Path(os.environ["COMFYUI_PATH"]).resolve()
        with serving(comfyui, Path(folder)) as server, browsing() as page:
            page.driver.set_window_size(*WINDOW)
            server.post("/settings/Comfy.TutorialCompleted", True)
            page.open(server.url, NODE)
            page.js(SHOW, NODE, json.dumps(pose()), *SIZE)
            page.click("//button[normalize-space(.)='Edit pose']")
            time.sleep(1)
            tabs = [Keys.TAB] * (18 + 5)
            ActionChains(page.driver).send_keys(*tabs).perform()
            time.sleep(1)
            page.screenshot(path)
    with Image.open(path) as whole:
        shown = whole.convert("RGB")
    shown.resize((shown.width * 3 // 4, shown.height * 3 // 4)).save(path, "JPEG", quality=85)


if __name__ == "__main__":
    main()
