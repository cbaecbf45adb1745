"""How well the report tells a hint of the wrong kind: each hint that needs no weights, given to a
net of each kind.

Pictures are scenes of the demo and the photos that scikit-image brings. Printed are, by kind of
hint, how many were taken for what; then the alarms on right pairs (there must be none) and the
share of wrong pairs that are found.

Run: python benchmarks/hint_kinds.py [SCENES]
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from controlstack.demo.scenes import pose_json, sample_scene
from controlstack.demo.scenes_draw import draw_scene
from controlstack.inspection.hint_kinds import EXPECTED, Picture, is_inverted, kind_of_hint
from controlstack.preprocessors.pose.draw import draw_pose
from controlstack.preprocessors.pose.people import parse_poses
from controlstack.preprocessors.registry import PREPROCESSORS
from controlstack.preprocessors.spec import Shows

LINES = ("canny", "scribble", "scribble_xdog", "lineart_standard", "binary")
EDGE = 512
Found = tuple[str, Shows, Picture]
"""Which preprocessor made a hint, what it shows, and the hint."""


def photos() -> Iterator[np.ndarray]:
    """Those that scikit-image brings, RGB, uint8."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    for path in sorted([*folder.glob("*.png"), *folder.glob("*.jpg")]):
        with Image.open(path) as picture:
            picture.thumbnail((EDGE, EDGE))
            yield np.asarray(picture.convert("RGB"))


def made(name: str, source: object) -> Found:
    """A hint by a preprocessor, with its defaults."""
    entry = PREPROCESSORS[name]
    assert entry.run is not None
    hint = entry.run(source, **entry.settings({}))
    shows: Shows = "edges" if name in LINES else entry.shows  # binary's are followed by Scribble
    return name, shows, _floats(hint)


def of_scenes(count: int) -> Iterator[Found]:
    """Hints of demo scenes, whose depth, parts and poses are known."""
    for seed in range(count):
        scene = sample_scene(seed, person=True)
        drawn = draw_scene(scene)
        large = np.asarray(
            Image.fromarray(drawn.rgb).resize((EDGE, EDGE), Image.Resampling.BICUBIC)
        )
        yield from (made(name, large) for name in LINES)
        yield "depth of scenes", "depth", _grey(drawn.depth)
        yield made("normal_from_depth", drawn.depth)
        labels = np.zeros(drawn.depth.shape, np.uint8)
        for number, part in enumerate(drawn.parts.values(), 1):
            labels[part] = number
        yield made("seg_labels", labels)
        (pose,) = parse_poses(json.dumps(pose_json(scene.person)))
        yield "pose", "pose", _floats(draw_pose(pose, EDGE, EDGE))


def of_photos() -> Iterator[Found]:
    """Lines of photos, and depth and normals of the one whose depth is known."""
    import skimage

    for photo in photos():
        yield from (made(name, photo) for name in LINES)
    disparity = np.load(Path(skimage.__file__).parent / "data" / "motorcycle_disp.npz")["arr_0"]
    depth = np.nan_to_num(np.where(np.isfinite(disparity), disparity, 0) / 60).clip(0, 1)
    yield "depth of a photo", "depth", _grey(depth.astype(np.float32))
    yield made("normal_from_depth", depth.astype(np.float32))


def main() -> None:
    """Measure and print."""
    scenes = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    taken: dict[tuple[str, Shows], Counter[str]] = {}
    wrong = found = false = turned = 0
    inverted = lines = 0
    for name, shows, hint in (*of_scenes(scenes), *of_photos()):
        kind = kind_of_hint(hint)
        taken.setdefault((name, shows), Counter())[kind or "-"] += 1
        false += kind not in (None, shows)
        wrong += len(EXPECTED) - 1
        found += (len(EXPECTED) - 1) * (kind == shows)
        if shows == "edges":
            lines += 1
            turned += is_inverted(hint)
            inverted += is_inverted(1 - hint)
    for (name, shows), counts in taken.items():
        print(f"{name:20} ({shows}): {dict(counts)}")
    print(f"right pairs: {false} alarms; inverted hints: {turned} false of {lines}")
    print(f"wrong pairs: {found} of {wrong} found ({found / wrong:.0%})")
    print(f"inverted lines: {inverted} of {lines} found ({inverted / lines:.0%})")
    other = Counter(kind_of_hint(_floats(photo)) or "-" for photo in photos())
    print(f"photos themselves: {dict(other)}")


def _floats(hint: np.ndarray) -> Picture:
    return hint.astype(np.float32) / 255 if hint.dtype == np.uint8 else hint.astype(np.float32)


def _grey(depth: np.ndarray) -> Picture:
    return np.repeat(depth[..., None], 3, axis=2).astype(np.float32)


if __name__ == "__main__":
    main()
