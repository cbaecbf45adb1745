"""How good are pictures, whatever their hints: figures that compare what networks see. Their
weights are local files; nothing is fetched.

The paper reports all three in its Table 3 (arXiv 2302.05543).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.errors import UserError
from ..ground.wording import first_line
from ..model_files.filling import fill
from ..preprocessors.learned.networks import load_state
from ..preprocessors.picture import checked_rgb
from .clip import AT_ONCE, Clip, Picture, parts
from .fidelity import Figure

if TYPE_CHECKING:
    import torch
    from torch import nn

FID_FEATURES = 2048
"""Features of Inception's last pooling, of which FID takes mean and covariance."""

FID_ENOUGH = 10_000
"""Pictures from which on FID says what it should, at least FID_FEATURES being needed for a
covariance of full rank: https://github.com/bioinf-jku/TTUR (README)"""

INCEPTION = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
PREDICTOR = (
    "https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/main/"
    "sac+logos+ava1-l14-linearMSE.pth"
)
EXTRA = 'pip install "controlstack[evaluate]"'

PREDICTOR_SIZES = (768, 1024, 128, 64, 16, 1)
"""Layers of the aesthetic predictor, without activations in between, and their places in its file,
where the ones left out are dropout: `simple_inference.py` in
https://github.com/christophschuhmann/improved-aesthetic-predictor"""
PREDICTOR_PLACES = (0, 2, 4, 6, 7)


@dataclass(frozen=True)
class SetFigure:
    """A figure of a whole set of pictures, from `made` and `real` ones; `note` says in a sentence
    what it cannot tell, or nothing.
    """

    name: str
    value: float
    higher_is_better: bool
    made: int
    real: int
    note: str = ""


def fid(
    made: Mapping[str, Iterable[Picture]],
    real: Iterable[Picture],
    weights: Path,
    device: torch.device | str = "cpu",
    features: int = FID_FEATURES,
) -> dict[str, SetFigure]:
    """Frechet inception distance, from 0, lower is better, of each set of pictures `made` from the
    `real` ones, which are looked at once (uint8 RGB, H x W x 3, of any sizes): Heusel et al. 2017
    (arXiv 1706.08500), by torchmetrics.

    `weights` is torch-fidelity's file of the original Inception (INCEPTION), read without running
    any code in it; pictures are resized to its 299 x 299 as the original did, without antialiasing.
    `features` (64, 192, 768 or 2048) takes an earlier layer, for which fewer pictures are enough,
    and which is not comparable with published figures. Raises UserError for fewer than two pictures
    on either side, missing packages, and a file that is missing or something else.
    """
    metric = _frechet(weights, features).to(device)

    def seen(pictures: Iterable[Picture], real: bool) -> int:
        count = 0
        for batch in _batches(pictures):
            metric.update(batch.to(device), real=real)
            count += len(batch)
        return count

    name = "FID" if features == FID_FEATURES else f"FID ({features} features)"
    there = seen(real, True)
    found: dict[str, SetFigure] = {}
    for group, pictures in made.items():
        metric.reset()  # of what was made
        count = seen(pictures, False)
        fewest = min(count, there)
        if fewest < 2:
            raise UserError(
                f"FID compares two sets of pictures, and there are {count} made and {there} real "
                "ones; give 2 of each at least, and thousands for a sound figure."
            )
        note = _fid_note(fewest, features)
        found[group] = SetFigure(name, float(metric.compute()), False, count, there, note)
    return found


def require_fid(weights: Path, real: int) -> None:
    """Raise UserError for what can be told before pictures are looked at: missing packages, a
    missing file, fewer than two `real` pictures.
    """
    _check_there(weights, "Inception", INCEPTION)
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


def clip_scores(
    clip: Clip, pictures: Iterable[Picture], prompts: Sequence[str]
) -> tuple[Figure, ...]:
    """How well each picture shows its prompt, 0..100: 100 times the cosine of their embeddings, at
    least 0. Hessel et al. 2021 (arXiv 2104.08718) with torchmetrics' factor; the paper's Table 3
    has the cosine itself, 0.26 where this is 26.

    Raises UserError where there are not as many prompts as pictures.
    """
    seen, read = clip.pictures(pictures), clip.prompts(prompts)
    if len(seen) != len(read):
        raise UserError(
            f"There are {len(seen)} pictures and {len(read)} prompts; give one for each picture."
        )
    cosines = (seen * read).sum(dim=-1).clamp(min=0)
    return tuple(Figure("CLIP score", 100 * float(value), True) for value in cosines)


def aesthetic_scores(
    clip: Clip, predictor: nn.Module, pictures: Iterable[Picture]
) -> tuple[Figure, ...]:
    """How much people would like each picture, by LAION's predictor: about 1..10, most pictures
    between 4 and 7. `predictor` is from `load_predictor`, `clip` has to be CLIP ViT-L/14.

    Raises UserError for another CLIP, whose embeddings have another width.
    """
    import torch

    if clip.width != PREDICTOR_SIZES[0]:
        raise UserError(
            f"The aesthetic predictor reads CLIP embeddings of {PREDICTOR_SIZES[0]} numbers, and "
            f"this CLIP gives {clip.width}; take openai/clip-vit-large-patch14."
        )
    with torch.inference_mode():
        scores = predictor(clip.pictures(pictures))[:, 0]
    return tuple(Figure("aesthetic score", float(value), True) for value in scores)


def load_predictor(path: Path) -> nn.Module:
    """LAION's aesthetic predictor from its file: embeddings of length 1 (n, 768) -> scores (n, 1).

    Raises UserError where the file is missing or something else.
    """
    from torch import nn

    _check_there(path, "aesthetic predictor", PREDICTOR)
    places = zip(PREDICTOR_PLACES, PREDICTOR_SIZES, PREDICTOR_SIZES[1:], strict=False)
    layers = nn.ModuleDict({str(place): nn.Linear(wide, narrow) for place, wide, narrow in places})
    fill(nn.ModuleDict({"layers": layers}), load_state(path), path, "the aesthetic predictor")
    return nn.Sequential(*layers.values())


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


def _check_there(path: Path, what: str, source: str) -> None:
    if not path.is_file():
        raise UserError(f"There is no {what} at {path}: get it from {source} and put it there.")


def _batches(pictures: Iterable[Picture]) -> Iterable[torch.Tensor]:
    """Pictures as uint8 (n, 3, H, W), neighbours of one size together."""
    import torch

    checked = (checked_rgb(picture, "FID") for picture in pictures)
    for _, alike in groupby(checked, key=lambda picture: picture.shape):
        for part in parts(alike, AT_ONCE):
            yield torch.from_numpy(np.stack(part).transpose(0, 3, 1, 2).copy())


def _fid_note(fewest: int, features: int) -> str:
    if fewest >= FID_ENOUGH:
        return ""
    rank = ", and the covariance of its features has no full rank" * (fewest <= features)
    return (
        f"FID of {fewest} pictures comes out too high{rank}: compare it only with FID of sets of "
        f"the same size. {FID_ENOUGH} pictures are usual."
    )
