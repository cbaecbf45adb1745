"""Draws the pictures of docs that are made of the photos in tests/photos: pose-photos.jpg, what
pose_body finds in them; photo-to-picture.jpg, photos, their poses and edges, and what the demo
model draws by the poses; hint-sheet.jpg, all hints that need no weights.

python -m tools.photo_pictures [NAME ...] (needs no download; a minute)
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.pose_photos import (
    PHOTOS,
    Find,
    Photo,
    Picture,
    finder,
    framed,
    photos,
    score,
    turned,
)
from controlstack.demo.scenes import SIZE, sample_scene
from controlstack.demo.scenes_draw import draw_scene
from controlstack.demo.score import Task
from controlstack.demo.score_host import HostScorer
from controlstack.ground.contact_sheet import Cell as Column
from controlstack.ground.contact_sheet import Row, draw_sheet
from controlstack.preprocessors.canny import canny
from controlstack.preprocessors.pose.draw import draw_pose
from controlstack.preprocessors.pose.people import Pose
from controlstack.preprocessors.registry import PREPROCESSORS
from controlstack.preprocessors.sheet.page import Cell, Group, draw_page
from controlstack.preprocessors.sheet.sheet import make_sheet

DOCS = Path(__file__).parents[1] / "docs"
NAME = "pose_body"
ENOUGH = 0.8
"""PCK from which a photo is among those that went well."""
FOLLOWED = ("park_jack", "park_walk")
"""Photos with one whole person, who the demo model can draw."""
PROMPT = "a person in a red shirt and blue trousers"
"""Says nothing of the pose, which is to come from the photo."""
SEED = 1
SMALL = 6
"""How many times smaller a person is shown who is too small."""
ON_THE_SHEET = "astronaut"
WIDEST = 1470
SAVED: dict[str, Any] = {"quality": 82, "optimize": True, "progressive": True}


def over(photo: Photo, pose: Pose) -> Picture:
    """The pose drawn over its photo, which is made darker."""
    high, wide = photo.picture.shape[:2]
    drawn = draw_pose(pose, wide, high)
    dark = (photo.picture * 0.6).astype(np.uint8)
    return np.where(drawn.any(axis=2, keepdims=True), drawn, dark)


def cell(photo: Photo, find: Find, name: str = "") -> tuple[float, Cell]:
    """A photo's cell of the page, and its PCK."""
    row = score(photo, find)
    note = f"{row.found} of {row.people} people" if row.people > 1 or row.found != 1 else ""
    picture = over(photo, find(photo.picture))
    return row.pck, Cell(picture, name or photo.name, f"PCK {row.pck:.2f}", note)


def found_page(find: Find) -> Image.Image:
    """The page of all photos, the best first, and of one that is turned and made small."""
    taken = photos()
    cells = [cell(photo, find) for photo in taken]
    jack = next(photo for photo in taken if photo.name == FOLLOWED[0])
    cells.append(cell(framed(jack, SMALL), find, f"{jack.name}, {SMALL} times smaller"))
    cells += [
        cell(turned(jack, quarters), find, f"{jack.name}, turned by {90 * quarters}")
        for quarters in (1, 2)
    ]
    # The first one's shape is that of all cells: a square one.
    cells.sort(
        key=lambda one: (-one[0], abs(1 - one[1].picture.shape[0] / one[1].picture.shape[1]))
    )
    well = tuple(one for pck, one in cells if pck >= ENOUGH)
    badly = tuple(one for pck, one in cells if pck < ENOUGH)
    return draw_page(
        "Poses in photos",
        f"What {NAME} finds with its defaults; PCK: the share of the hand-placed joints within a "
        "tenth of the body's longer side.",
        (
            Group(f"At least {ENOUGH:.0%} of the joints", well),
            Group("Fewer: what it cannot do", badly),
        ),
        (),
    )


def _shape(cell: Cell) -> float:
    return cell.picture.shape[0] / cell.picture.shape[1]


def square(picture: Picture) -> Picture:
    """The middle of a picture, as large a square as it holds."""
    high, wide = picture.shape[:2]
    edge = min(high, wide)
    top, left = (high - edge) // 2, (wide - edge) // 2
    return picture[top : top + edge, left : left + edge]


def followed_page(find: Find, names: Sequence[str] = FOLLOWED) -> Image.Image:
    """Photo, pose, edges, and the demo model's pictures without control and by the pose."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        draw = HostScorer(Path(folder))
        for photo in (one for name in names for one in photos() if one.name == name):
            seen = square(photo.picture)
            pose = find(seen)
            hint = draw_pose(pose, SIZE, SIZE)
            scene = sample_scene(SEED, True)
            task = Task(scene, draw_scene(scene), PROMPT, SEED, {"pose": hint})
            pictures = [next(iter(draw([task], stack))) for stack in ((), ("pose",))]
            edges = canny(seen)
            shown = (seen, draw_pose(pose, seen.shape[1], seen.shape[0]), edges, *pictures)
            rows.append(
                Row(tuple(Column(Image.fromarray(np.asarray(one))) for one in shown), photo.name)
            )
    return draw_sheet(
        "From a photo to a picture",
        f"Pose by {NAME}, edges by canny; the demo model's pictures (128 px, seed {SEED}): "
        f"“{PROMPT}”.",
        ("Photo", "Its pose", "Its edges", "No control", "By the pose"),
        rows,
    )


def hint_page(photo: str = ON_THE_SHEET) -> Image.Image:
    """The page of `controlstack hint --sheet`, on a machine that fetched no weights."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "sheet.png"
        make_sheet(PHOTOS / f"{photo}.jpg", page, (Path(folder),))
        with Image.open(page) as image:
            return image.convert("RGB")


def main() -> None:
    """Write the pictures that are named, or all."""
    find = finder(PREPROCESSORS[NAME])
    pages: dict[str, Callable[[], Image.Image]] = {
        "pose-photos": lambda: found_page(find),
        "photo-to-picture": lambda: followed_page(find),
        "hint-sheet": hint_page,
    }
    for name in sys.argv[1:] or pages:
        page = pages[name]()
        page.thumbnail((WIDEST, 10 * WIDEST))
        page.save(DOCS / f"{name}.jpg", **SAVED)


if __name__ == "__main__":
    main()
