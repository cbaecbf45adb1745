"""A hint that needs meaning: one straight line from head to foot of the person in a scene.

Nothing in a picture looks like that line. A net can follow it only by knowing what a person is and
where its head and feet are; edges near by do not tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from controlstack.demo.build_control import Prompts, SceneBatches
from controlstack.demo.captions import caption
from controlstack.demo.scenes import HELD_OUT_SEEDS, JOINTS, SIZE, sample_scene
from controlstack.demo.scenes_draw import draw_scene
from controlstack.demo.score import READER
from controlstack.evaluation.joint_reader import load_reader, read_joints

from .sampling import Pictures
from .world import World, hint_tensor, kept

WIDTH = 3
"""Of the line, in pixels."""
CHUNK = 50
"""Scenes that are drawn and kept together."""
_HEAD = JOINTS.index("nose")
_FEET = JOINTS.index("right_ankle"), JOINTS.index("left_ankle")
Points = NDArray[np.float32]


@dataclass(frozen=True)
class Rows:
    """Scenes with one person each: `latents` (n, 4, 16, 16), `joints` (n, 18, 2) in pixels, and the
    `captions` and `seeds` of n scenes.
    """

    latents: Tensor
    joints: Points
    captions: list[str]
    seeds: list[int]

    @cached_property
    def hints(self) -> Pictures:
        """Their lines, uint8 RGB (n, 128, 128, 3)."""
        return np.stack([line(joints) for joints in self.joints])

    def first(self, count: int) -> Rows:
        """The first `count` of them."""
        these = slice(0, count)
        return Rows(
            self.latents[these], self.joints[these], self.captions[these], self.seeds[these]
        )

    def pictures(self) -> Pictures:
        """The scenes themselves, drawn again: uint8 RGB (n, 128, 128, 3)."""
        return np.stack([draw_scene(sample_scene(seed, person=True)).rgb for seed in self.seeds])

    def batches(self, world: World) -> SceneBatches:
        """These rows for the training loop; all the prompts of the demo's own length."""

        def hints(picked: NDArray[np.int64]) -> Pictures:
            return np.stack([line(self.joints[i]) for i in picked])

        prompts = Prompts(*world.text, self.captions, short=1)
        return SceneBatches(self.latents, hints, prompts, np.arange(len(self.captions)))


def training_rows(world: World, count: int) -> Rows:
    """The scenes of seeds 0 to `count` - 1, each asked for a person; kept in the work folder."""
    return _rows(world, range(count), worded=True)


def held_out_rows(world: World, count: int) -> Rows:
    """The first `count` held-out scenes (at most 64), each asked for a person, with the plainest
    caption."""
    return _rows(world, HELD_OUT_SEEDS[:count], worded=False)


def plainly(rows: Rows) -> Rows:
    """`rows` with the plainest caption of each, as those that are held out have."""
    return replace(rows, captions=_captions(rows.seeds, worded=False))


def line(joints: Points) -> Pictures:
    """The hint uint8 RGB (128, 128, 3) of a body's joints (18, 2): a white line from the nose to
    the middle between the ankles.
    """
    canvas = np.zeros((SIZE, SIZE, 3), np.uint8)
    head, feet = ends(joints)
    (x, y), (u, v) = (np.rint(point).astype(int).tolist() for point in (head, feet))
    cv2.line(canvas, (x, y), (u, v), (255, 255, 255), WIDTH)
    return canvas


def ends(joints: Points) -> tuple[Points, Points]:
    """Where the line begins and ends, each (2,), in pixels: the nose, and between the ankles."""
    return joints[_HEAD], joints[list(_FEET)].mean(0)


def distances(pictures: Pictures, joints: Points) -> NDArray[np.float64]:
    """How far head and feet in each picture are from the line's ends (n,), in pixels of 128: the
    mean of both. They are found by the demo's joint reader, which is half a pixel off in drawn
    scenes and says something, some 40 px off, where nobody is.
    """
    reader = _reader(READER)
    found = [ends(read_joints(reader, picture)) for picture in pictures]
    wanted = [ends(one) for one in joints]
    apart = [
        [np.hypot(*(a - b)) for a, b in zip(f, w, strict=True)]
        for f, w in zip(found, wanted, strict=True)
    ]
    return np.asarray(apart, np.float64).mean(1)


_reader = lru_cache(maxsize=1)(load_reader)


def _rows(world: World, seeds: Sequence[int], worded: bool) -> Rows:
    parts = [_chunk(world, seeds[i : i + CHUNK], worded) for i in range(0, len(seeds), CHUNK)]
    scenes = [sample_scene(seed, person=True) for seed in seeds]
    joints = [scene.person.joints for scene in scenes if scene.person is not None]
    captions = _captions(seeds, worded)
    return Rows(torch.cat(parts), np.array(joints, np.float32), captions, list(seeds))


def _captions(seeds: Sequence[int], worded: bool) -> list[str]:
    return [caption(sample_scene(seed, person=True), seed if worded else None) for seed in seeds]


def _chunk(world: World, seeds: Sequence[int], worded: bool) -> Tensor:
    """The latents (n, 4, 16, 16) of scenes, drawn once; more rows later need only the others."""

    @torch.inference_mode()
    def make() -> Tensor:
        drawn = [draw_scene(sample_scene(seed, person=True)).rgb for seed in seeds]
        found = world.vae.encode(hint_tensor(np.stack(drawn)) * 2 - 1).latents
        return torch.Tensor(found * float(world.vae.config.scaling_factor)).clone()

    name: Path = world.work / "people" / f"{seeds[0]}-{len(seeds)}.pt"
    found: Tensor = kept(name, make)
    return found
