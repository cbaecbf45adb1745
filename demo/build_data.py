"""Renders the training scenes once into memory-mapped arrays, in worker processes, so that training
never waits for data.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ground.atomic import write_atomic
from ..ground.errors import UserError
from ..ground.reading import read_text
from ..ground.structured import read_json
from ..ground.workers import workers
from ..preprocessors.pose.draw import draw_pose
from .captions import caption
from .scenes import SIZE, TRAIN_SEED_BASE, pose_json, sample_scene
from .scenes_draw import draw_scene

_CHUNK = 250
CAPTIONS = "captions.json"


@dataclass(frozen=True)
class SceneSet:
    """Rendered scenes: `rgb` and the skeletons `pose` uint8 (n, 128, 128, 3); `canny`, `depth`
    uint8 (n, 128, 128); `joints` float32 (n, 18, 2), NaN where there is no person; `captions` n
    strings. Scene i has seed `TRAIN_SEED_BASE + i`.
    """

    rgb: NDArray[np.uint8]
    canny: NDArray[np.uint8]
    depth: NDArray[np.uint8]
    pose: NDArray[np.uint8]
    joints: NDArray[np.float32]
    captions: list[str]


def render_scenes(folder: Path, count: int, cores: int) -> SceneSet:
    """The first `count` training scenes, rendered into `folder` unless they are there already."""
    found = _rendered(folder, count)
    if found is None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CAPTIONS).unlink(missing_ok=True)  # what says that the arrays are whole
        _create(folder, count)
        starts = range(0, count, _CHUNK)
        with workers(cores) as pool:
            jobs = [pool.submit(_render_chunk, folder, s, min(s + _CHUNK, count)) for s in starts]
            captions = [line for job in jobs for line in job.result()]
        write_atomic(folder / CAPTIONS, json.dumps(captions).encode())
        found = _rendered(folder, count)
        assert found is not None
    return found


def _rendered(folder: Path, count: int) -> SceneSet | None:
    """The `count` scenes in `folder`; None where they are not all there, each file whole."""
    try:
        captions: Any = read_json(read_text(folder / CAPTIONS, "the captions"), CAPTIONS, "list")
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _SHAPES}
    except (UserError, OSError, ValueError):  # numpy's, of a file that is cut off or is no array
        return None
    shapes = {name: (array.shape, array.dtype.name) for name, array in arrays.items()}
    wanted = {name: ((count, *shape), kind) for name, (shape, kind) in _SHAPES.items()}
    whole = shapes == wanted and isinstance(captions, list) and len(captions) == count
    return SceneSet(**arrays, captions=captions) if whole else None


_SHAPES: dict[str, tuple[tuple[int, ...], str]] = {
    "rgb": ((SIZE, SIZE, 3), "uint8"),
    "canny": ((SIZE, SIZE), "uint8"),
    "depth": ((SIZE, SIZE), "uint8"),
    "pose": ((SIZE, SIZE, 3), "uint8"),
    "joints": ((18, 2), "float32"),
}


def _create(folder: Path, count: int) -> None:
    for name, (shape, kind) in _SHAPES.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, (count, *shape))


def _render_chunk(folder: Path, start: int, stop: int) -> list[str]:
    import cv2

    cv2.setNumThreads(1)
    rgb, canny, depth, pose, joints = (
        np.load(folder / f"{n}.npy", mmap_mode="r+") for n in _SHAPES
    )
    captions = []
    for index in range(start, stop):
        seed = TRAIN_SEED_BASE + index
        scene = sample_scene(seed)
        drawing = draw_scene(scene)
        rgb[index] = drawing.rgb
        canny[index] = cv2.Canny(drawing.rgb, 100, 200)
        depth[index] = np.rint(drawing.depth * 255)
        joints[index] = np.nan
        if scene.person is not None:
            joints[index] = scene.person.joints
            pose[index] = draw_pose(pose_json(scene.person), SIZE, SIZE)
        captions.append(caption(scene, seed))
    return captions
