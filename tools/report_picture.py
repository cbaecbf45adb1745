"""Draws docs/evaluate.jpg: the page of `controlstack evaluate` on pictures of the demo model.

python tools/report_picture.py docs/evaluate.jpg (needs Chromium; two minutes)
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from controlstack.demo.score_host import HostScorer
from controlstack.demo.score_pictures import lines
from controlstack.evaluation.files.evaluate import (
    EvaluateOptions,
    entry_of,
    evaluate,
    prepare,
    write_report,
)
from controlstack.evaluation.files.pairing import groups_of

SCENES = 8
GROUPS = {"canny": "canny", "depth": "depth", "both": "canny+depth", "no control": "none"}
WINDOW = "1240,1428"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


def main() -> None:
    """Write the picture to the path that was given."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "this needs Chromium"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scratch").mkdir()
        list(lines(HostScorer(folder / "scratch"), SCENES, folder / "demo"))
        pictures = folder / "demo" / "all"
        groups = groups_of([f"{name}={pictures / part}" for name, part in GROUPS.items()])
        hints = (str(pictures / "hints" / "canny"),)
        ready = prepare(
            EvaluateOptions(groups=groups, preprocessor=entry_of("canny"), hints=hints, out=folder)
        )
        _, page = write_report(evaluate(ready), ready)
        png = folder / "page.png"
        drawn = (f"--screenshot={png}", f"--window-size={WINDOW}", "--hide-scrollbars")
        subprocess.run([chromium, *FLAGS, *drawn, page.as_uri()], check=True, capture_output=True)
        with Image.open(png) as image:
            image.convert("RGB").save(sys.argv[1], quality=78, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
