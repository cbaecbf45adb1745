"""Demo scenes as a training set in files, laid out as the paper's code's fill50k."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

from PIL import Image

from ..ground.atomic import new_folder
from ..ground.places import require_place
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
    The folder is there when it is whole. Raises UserError where it holds something already, or
    cannot be written.
    """
    require_place(out, "the data", folder=True)
    lines = []
    with new_folder(out, empty=True) as part, reporter().steps(count, "scenes") as bar:
        for name in ("source", "target"):
            (part / name).mkdir()
        for number in range(count):
            seed = FIRST_SEED + number
            scene = sample_scene(seed, True if kind == "pose" else None)
            drawing = draw_scene(scene)
            row = {"source": f"source/{number}.png", "target": f"target/{number}.png"}
            _save(Image.fromarray(hints(scene, drawing)[kind]), part / row["source"])
            _save(Image.fromarray(drawing.rgb), part / row["target"])
            lines.append(json.dumps({**row, "prompt": caption(scene, seed)}))
            bar.advance()
        (part / "prompt.json").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _save(picture: Image.Image, path: Path) -> None:
    png = BytesIO()
    picture.save(png, "PNG")
    path.write_bytes(png.getvalue())
