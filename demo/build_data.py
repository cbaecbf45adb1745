"""Renders the training scenes once into memory-mapped arrays, in worker processes, so that training
never waits for data.
"""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..preprocessors.pose.draw import draw_pose
from .captions import caption
from .scenes import SIZE, TRAIN_SEED_BASE, pose_json, sample_scene
from .scenes_draw import draw_scene

_CHUNK = 250


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


def render_scenes(folder: Path, count: int, workers: int) -> SceneSet:
    """The first `count` training scenes, rendered into `folder` unless they are there already."""
    done = folder / "captions.json"
    if not done.exists() or len(json.loads(done.read_text())) != count:
        folder.mkdir(parents=True, exist_ok=True)
        _create(folder, count)
        starts = range(0, count, _CHUNK)
        # Forked children inherit the locks of OpenCV's threads and may wait for ever.
        fresh = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, fresh) as pool:
            jobs = [pool.submit(_render_chunk, folder, s, min(s + _CHUNK, count)) for s in starts]
            captions = [line for job in jobs for line in job.result()]
        done.write_text(json.dumps(captions))
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _SHAPES}
    return SceneSet(**arrays, captions=json.loads(done.read_text()))


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
