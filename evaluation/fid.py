"""Frechet inception distance: how far a set of pictures is from real ones, as a network sees them.
Its weights are a local file; nothing is fetched.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.errors import UserError
from ..ground.wording import first_line
from ..preprocessors.learned.networks import load_state
from ..preprocessors.picture import checked_rgb
from .clip import AT_ONCE, Picture, parts
from .fidelity import Mean

if TYPE_CHECKING:
    import torch

FEATURES = 2048
"""Features of Inception's last pooling, of which FID takes mean and covariance."""

ENOUGH = 10_000
"""Pictures from which on FID says what it should, at least FEATURES being needed for a covariance
of full rank: https://github.com/bioinf-jku/TTUR (README)"""

INCEPTION = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
EXTRA = 'pip install "controlstack[evaluate]"'


def fid(
    made: Mapping[str, Iterable[Picture]],
    real: Iterable[Picture],
    weights: Path,
    device: torch.device | str = "cpu",
    features: int = FEATURES,
) -> tuple[dict[str, Mean], tuple[str, ...]]:
    """The distance, from 0, lower is better, of each set of pictures `made` from the `real` ones,
    which are looked at once (uint8 RGB, H x W x 3, of any sizes), and sentences on what it cannot
    tell: Heusel et al. 2017 (arXiv 1706.08500), by torchmetrics. The paper (arXiv 2302.05543) has
    it in its Table 3.

    `weights` is torch-fidelity's file of the original Inception (INCEPTION), read without running
    any code in it; pictures are resized to its 299 x 299 as the original did, without antialiasing.
    `features` (64, 192, 768 or 2048) takes an earlier layer, for which fewer pictures are enough,
    and which is not comparable with published figures. Raises UserError for fewer than two pictures
    of either kind, missing packages, and a file that is missing or something else.
    """
    metric = _frechet(weights, features).to(device)

    def seen(pictures: Iterable[Picture], real: bool) -> int:
        count = 0
        for batch in _batches(pictures):
            metric.update(batch.to(device), real=real)
            count += len(batch)
        return count

    name = "FID" if features == FEATURES else f"FID ({features} features)"
    there = seen(real, True)
    found: dict[str, Mean] = {}
    notes = []
    for group, pictures in made.items():
        metric.reset()  # of what was made
        count = seen(pictures, False)
        fewest = min(count, there)
        if fewest < 2:
            raise UserError(
                f"FID compares two sets of pictures, and there are {count} made and {there} real "
                "ones; give 2 of each at least, and thousands for a sound figure."
            )
        found[group] = Mean(name, float(metric.compute()), math.nan, count, False)
        if fewest < ENOUGH:
            notes.append(_note(fewest, features))
    return found, tuple(dict.fromkeys(notes))


def require_fid(weights: Path, real: int) -> None:
    """Raise UserError for what can be told before pictures are looked at: missing packages, a
    missing file, fewer than two `real` pictures.
    """
    if not weights.is_file():
        raise UserError(
            f"There is no Inception at {weights}: get it from {INCEPTION} and put it there."
        )
    if real < 2:
        raise UserError(f"FID compares two sets of pictures, and {real} is real; give 2 at least.")
    try:
        import torch_fidelity  # noqa: F401  torchmetrics does without, but not for FID
        from torchmetrics.image.fid import FrechetInceptionDistance  # noqa: F401  as `fid` does
    except ImportError as error:
        raise UserError(
            f"FID needs torchmetrics and torch-fidelity, which cannot be imported here "
            f"({first_line(error)}); install them: {EXTRA}"
        ) from error


def _frechet(weights: Path, features: int) -> Any:
    """torchmetrics' FID with the Inception in the file `weights`."""
    import torch

    require_fid(weights, 2)
    from torchmetrics.image.fid import FrechetInceptionDistance

    file = BytesIO()
    torch.save(load_state(weights), file)  # the library would run code in the file itself
    file.seek(0)
    try:
        with torch.random.fork_rng(devices=()):  # its first weights are drawn from the host's
            return FrechetInceptionDistance(
                feature=features,
                feature_extractor_weights_path=file,
                antialias=False,
                reset_real_features=False,
            )
    except RuntimeError as error:
        raise UserError(
            f"{weights} does not hold torch-fidelity's Inception ({first_line(error)}); get it "
            f"from {INCEPTION}"
        ) from error


def _batches(pictures: Iterable[Picture]) -> Iterable[torch.Tensor]:
    """Pictures as uint8 (n, 3, H, W), neighbours of one size together."""
    import torch

    checked = (checked_rgb(picture, "FID") for picture in pictures)
    for _, alike in groupby(checked, key=lambda picture: picture.shape):
        for part in parts(alike, AT_ONCE):
            yield torch.from_numpy(np.stack(part).transpose(0, 3, 1, 2).copy())


def _note(fewest: int, features: int) -> str:
    rank = ", and the covariance of its features has no full rank" * (fewest <= features)
    return (
        f"FID of {fewest} pictures comes out too high{rank}: compare it only with FID of sets of "
        f"the same size. {ENOUGH} pictures are usual."
    )
