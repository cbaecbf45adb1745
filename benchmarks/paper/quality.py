"""Quality and content of pictures, as a small network sees them that was trained on the scenes.

FID, CLIP score and the aesthetic score look at pictures through networks for photographs, whose
weights are not here and which say little about flat shapes. This network stands in for them: it
tells which things a scene holds and in which colours. Its pooled features take Inception's place,
and the kernel distance of KID (Binkowski et al. 2018, "Demystifying MMD GANs", arXiv 1801.01401)
that of FID, as it has no bias at a few dozen pictures. The things it sees take the place of the
CLIP score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as f

from controlstack.demo.build_data import SceneSet
from controlstack.demo.scenes import (
    COLOURS,
    KINDS,
    TRAIN_SEED_BASE,
    Scene,
    sample_scene,
)
from controlstack.demo.scenes_draw import draw_scene

from .measures import Figure, Values
from .world import World, kept

Features = NDArray[np.float64]
THINGS = (*KINDS, "person")
BEARERS = (*KINDS, "shirt", "trousers")
LABELS = (*THINGS, *(f"{colour} {bearer}" for bearer in BEARERS for colour in COLOURS))
FEATURES = 96
SEED, BATCH, RATE = 41, 32, 3e-3
REFERENCE_SEED = 3_000_000
"""The first of the scenes that pictures are compared with: neither trained on nor held out."""


class SceneReader(nn.Module):
    """RGB (n, 3, 128, 128) in 0..1 -> features (n, 96), logits (n, labels)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 64, 96, FEATURES)
        self.body = nn.Sequential(*(_halved(a, b) for a, b in pairwise(widths)))
        self.head = nn.Linear(FEATURES, len(LABELS))

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(rgb - 0.5).mean(dim=(2, 3))
        return features, cast(Tensor, self.head(features))


def _halved(before: int, after: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())


def labels_of(scene: Scene) -> NDArray[np.float32]:
    """1 for each of LABELS that is in the scene."""
    found = {solid.kind for solid in scene.solids}
    found |= {f"{solid.colour} {solid.kind}" for solid in scene.solids}
    if someone := scene.person:
        found |= {"person", f"{someone.shirt} shirt", f"{someone.trousers} trousers"}
    return np.array([label in found for label in LABELS], np.float32)


def things_of(scene: Scene) -> set[str]:
    """Which of THINGS are in the scene."""
    return {THINGS[i] for i in np.flatnonzero(labels_of(scene)[: len(THINGS)])}


def _train(scenes: SceneSet, steps: int) -> SceneReader:
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    labels = np.stack(
        [labels_of(sample_scene(TRAIN_SEED_BASE + i)) for i in range(len(scenes.rgb))]
    )
    reader = SceneReader()
    optimiser = torch.optim.AdamW(reader.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for _ in range(steps):
        picked = np.sort(rng.choice(len(labels), BATCH))
        rgb = torch.from_numpy(scenes.rgb[picked]).permute(0, 3, 1, 2).float() / 255
        _, logits = reader(_worn(rgb))
        loss = f.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels[picked]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return reader


def _worn(rgb: Tensor) -> Tensor:
    """Mirrored or not, and a little noisy: what names a thing is its form and its colour."""
    mirrored = torch.where(torch.rand(len(rgb), 1, 1, 1) < 0.5, rgb, rgb.flip(-1))
    return mirrored + 0.02 * torch.randn_like(mirrored)


@torch.inference_mode()
def read(
    reader: SceneReader, pictures: Sequence[NDArray[np.uint8]]
) -> tuple[Features, NDArray[np.bool_]]:
    """(features (n, 96), which of LABELS each picture shows (n, labels))."""
    rgb = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    found = [reader(part) for part in rgb.split(64)]
    features = torch.cat([features for features, _ in found]).double().numpy()
    return features, np.asarray(torch.cat([logits for _, logits in found]).numpy() > 0)


@dataclass(frozen=True)
class Judge:
    """The network, and the standardised features (1000, 96) of the reference scenes."""

    reader: SceneReader
    mean: Features
    deviation: Features
    real: Features

    def distance(self, pictures: Sequence[NDArray[np.uint8]]) -> Figure:
        """The pictures' kernel distance from the reference scenes, with its standard error by the
        jackknife over the pictures; 0 in the mean for scenes themselves.
        """
        found = (read(self.reader, pictures)[0] - self.mean) / self.deviation
        n = len(found)
        left_out = range(n if n > 2 else 0)
        without = [kernel_distance(np.delete(found, i, axis=0), self.real) for i in left_out]
        error = float(np.sqrt((n - 1) * np.var(without))) if n > 2 else float("nan")
        mean = kernel_distance(found, self.real)
        return {"mean": round(mean, 4), "error": round(error, 4), "n": n}

    def sees(self, pictures: Sequence[NDArray[np.uint8]], asked: Sequence[Scene]) -> Values:
        """For each picture, the share of what its scene in `asked` holds (things, and their
        colours) that it shows.
        """
        shown = read(self.reader, pictures)[1]
        wanted = np.stack([labels_of(scene) for scene in asked]) > 0
        return np.asarray((shown & wanted).sum(axis=1) / wanted.sum(axis=1))

    def sees_things(self, pictures: Sequence[NDArray[np.uint8]], asked: Sequence[Scene]) -> Values:
        """As `sees`, of things alone, whatever their colours."""
        shown = read(self.reader, pictures)[1][:, : len(THINGS)]
        wanted = np.stack([labels_of(scene)[: len(THINGS)] for scene in asked]) > 0
        return np.asarray((shown & wanted).sum(axis=1) / wanted.sum(axis=1))


def judge(world: World, steps: int, count: int) -> Judge:
    """The judge of all scripts, trained for `steps` at the first use; `count` reference scenes."""
    reader = SceneReader()
    path = world.work / f"scene-reader-{world.count}-{steps}.pt"
    reader.load_state_dict(kept(path, lambda: _train(world.scenes, steps).state_dict()))
    reader.eval()
    seeds = range(REFERENCE_SEED, REFERENCE_SEED + count)
    scenes = [draw_scene(sample_scene(seed)).rgb for seed in seeds]
    features = read(reader, scenes)[0]
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    return Judge(reader, mean, deviation, (features - mean) / deviation)


def kernel_distance(one: Features, other: Features) -> float:
    """Squared maximum mean discrepancy of two sets of features (n, d), (m, d) under the kernel
    (x.y / d + 1) ** 3, without bias, so that it may be below 0.
    """
    return _within(one) + _within(other) - 2 * float(_kernel(one, other).mean())


def _within(features: Features) -> float:
    """The mean kernel over pairs of two different rows."""
    n = len(features)
    values = _kernel(features, features)
    return float((values.sum() - np.trace(values)) / (n * (n - 1)))


def _kernel(a: Features, b: Features) -> Features:
    return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)
