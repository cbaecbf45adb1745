"""Demo scenes as a training set in files, laid out as the paper's code's fill50k."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

from PIL import Image

from ..ground.atomic import write_atomic
from ..ground.errors import UserError
from ..ground.reporter import reporter
from .captions import caption
from .scenes import TRAIN_SEED_BASE, sample_scene
from .scenes_draw import draw_scene
from .score import hints

FIRST_SEED = TRAIN_SEED_BASE + 100_000
"""Scenes that the demo model's base was not trained on."""


def write_folder(out: Path, count: int, kind: str) -> None:
    """Write `count` scenes to the folder `out`: target/ (pictures), source/ (their hints), and
    prompt.json with a line for each.

    `kind` of hint: canny, depth or pose; scenes for poses have a person each.
    Raises UserError for a folder that holds something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already; name a new folder.")
    for part in ("source", "target"):
        (out / part).mkdir(parents=True)
    lines = []
    with reporter().steps(count, "scenes") as bar:
        for number in range(count):
            seed = FIRST_SEED + number
            scene = sample_scene(seed, True if kind == "pose" else None)
            drawing = draw_scene(scene)
            row = {"source": f"source/{number}.png", "target": f"target/{number}.png"}
            _save(Image.fromarray(hints(scene, drawing)[kind]), out / row["source"])
            _save(Image.fromarray(drawing.rgb), out / row["target"])
            lines.append(json.dumps({**row, "prompt": caption(scene, seed)}))
            bar.advance()
    write_atomic(out / "prompt.json", "".join(f"{line}\n" for line in lines).encode())


def _save(picture: Image.Image, path: Path) -> None:
    png = BytesIO()
    picture.save(png, "PNG")
    path.write_bytes(png.getvalue())
