"""How good are pictures, whatever their hints: figures that compare what networks see, each with
the options that ask for it. Weights are local files; nothing is fetched.

The paper reports all three in its Table 3 (arXiv 2302.05543).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from ...ground.errors import UserError
from ...ground.inputs import files_of
from ...ground.parameters import setting
from ...ground.reporter import reporter
from ...preprocessors.picture_files import first_frame, pixels
from ..clip import Clip, Picture, load_clip
from ..fid import fid, require_fid
from ..fidelity import Figure, Mean
from ..report import Report
from .prompts import prompts_of, read_prompts

if TYPE_CHECKING:
    from torch import nn

PREDICTOR = (
    "https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/main/"
    "sac+logos+ava1-l14-linearMSE.pth"
)
PREDICTOR_SIZES = (768, 1024, 128, 64, 16, 1)
"""Layers of the aesthetic predictor, without activations in between, and their places in its file,
where the ones left out are dropout: `simple_inference.py` in
https://github.com/christophschuhmann/improved-aesthetic-predictor"""
PREDICTOR_PLACES = (0, 2, 4, 6, 7)

_PANEL = {"panel": "Quality, with weights of yours"}
_FOUND = "Default: looked for in the models' controlstack/ folder."


@dataclass(frozen=True, kw_only=True)
class QualityOptions:
    """Which figures are asked for, and where their weights are. `needs` are the options without
    one of which another does nothing.
    """

    real: tuple[Path, ...] = setting(
        (), "FID against these real pictures.", metavar="DIR", read=files_of, **_PANEL
    )
    prompts: Path | None = setting(
        None,
        "CLIP score with the prompts in this file, by picture's name: JSON, JSON lines, CSV, or "
        "lines of `name: prompt`.",
        metavar="FILE",
        **_PANEL,
    )
    aesthetic: bool = setting(False, "The aesthetic score.", **_PANEL)
    inception: Path | None = setting(
        None, f"Weights for the FID. {_FOUND}", metavar="FILE", needs=("real",), **_PANEL
    )
    clip: Path | None = setting(
        None,
        f"CLIP folder for the CLIP and aesthetic score. {_FOUND}",
        metavar="DIR",
        needs=("prompts", "aesthetic"),
        **_PANEL,
    )
    aesthetic_weights: Path | None = setting(
        None,
        f"Weights for the aesthetic score. {_FOUND}",
        metavar="FILE",
        needs=("aesthetic",),
        **_PANEL,
    )

    def files(self) -> Iterator[Path]:
        """All files that are named, which are inputs."""
        for given in (getattr(self, one.name) for one in fields(self)):
            yield from given if isinstance(given, tuple) else ()
            yield from [given] if isinstance(given, Path) else ()

    def idle(self) -> Iterator[str]:
        """A sentence for each option that was given and has nothing to do."""
        for one in fields(self):
            needs = one.metadata["limits"].get("needs", ())
            if needs and getattr(self, one.name) and not any(getattr(self, n) for n in needs):
                flags = [f"--{name.replace('_', '-')}" for name in (one.name, *needs)]
                yield f"{flags[0]} does nothing without {' or '.join(flags[1:])}"


@dataclass(frozen=True)
class Weights:
    """What the figures compute with, each looked for and loaded when the first one needs it."""

    options: QualityOptions
    models: Sequence[Path]

    @property
    def inception(self) -> Path:
        """The file of FID's network, or where it should be."""
        return self.options.inception or self._among("weights-inception-2015-12-05-6726825d.pth")

    @cached_property
    def clip(self) -> Clip:
        """Raises UserError, as `load_clip` does."""
        reporter().stage("loading CLIP")
        return load_clip(self.options.clip or self._among("clip-vit-large-patch14"))

    @property
    def predictor(self) -> Path:
        """The file of the aesthetic predictor, or where it should be."""
        return self.options.aesthetic_weights or self._among("sac+logos+ava1-l14-linearMSE.pth")

    def _among(self, name: str) -> Path:
        """The first that is there; the first place where none is, for the error to name."""
        places = [folder / "controlstack" / name for folder in self.models]
        return next((place for place in places if place.exists()), places[0])


@dataclass(frozen=True)
class Found:
    """A figure for each picture, or one for each group, and sentences on what it cannot tell."""

    figures: Sequence[Figure] = ()
    groups: Mapping[str, Mean] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


Metric: TypeAlias = Callable[[Mapping[str, Sequence[Path]]], Found]
"""A figure of quality, ready: the pictures' files by group -> what it is."""


def _distance(weights: Weights, pictures: Sequence[Path]) -> Metric:
    require_fid(weights.inception, len(weights.options.real))

    def measured(groups: Mapping[str, Sequence[Path]]) -> Found:
        made = {group: _seen(files, f"FID of {group}") for group, files in groups.items()}
        real = _seen(weights.options.real, "FID, real pictures")
        means, notes = fid(made, real, weights.inception)
        return Found(groups=means, notes=notes)

    return measured


def _clip_score(weights: Weights, pictures: Sequence[Path]) -> Metric:
    source = cast(Path, weights.options.prompts)
    prompts = read_prompts(source)
    prompts_of(pictures, prompts, source)  # raises UserError where a picture has none
    clip = weights.clip

    def measured(groups: Mapping[str, Sequence[Path]]) -> Found:
        files = [*chain(*groups.values())]
        asked = prompts_of(files, prompts, source)
        return Found(clip_scores(clip, _seen(files, "CLIP score"), asked))

    return measured


def _aesthetic_score(weights: Weights, pictures: Sequence[Path]) -> Metric:
    clip, predictor = weights.clip, load_predictor(weights.predictor)

    def measured(groups: Mapping[str, Sequence[Path]]) -> Found:
        seen = _seen([*chain(*groups.values())], "aesthetic score")
        return Found(aesthetic_scores(clip, predictor, seen))

    return measured


METRICS: Mapping[str, Callable[[Weights, Sequence[Path]], Metric]] = {
    "real": _distance,
    "prompts": _clip_score,
    "aesthetic": _aesthetic_score,
}
"""The option that asks for a figure -> what makes it ready for pictures, or raises UserError for
what it lacks before anything long is begun."""


def metrics(
    options: QualityOptions, models: Sequence[Path], pictures: Sequence[Path]
) -> tuple[Metric, ...]:
    """The figures that are asked for, ready; weights that are not named are looked for in `models`.

    Raises UserError for weights that are missing or something else, for prompts that cannot be
    read, and for pictures that have none.
    """
    weights = Weights(options, models)
    return tuple(ready(weights, pictures) for n, ready in METRICS.items() if getattr(options, n))


def with_quality(report: Report, asked: Sequence[Metric]) -> tuple[Report, tuple[str, ...]]:
    """The report with the figures that are `asked` for, and a sentence for each that failed."""
    files = {
        group: [Path(entry.picture) for entry in there]
        for group in report.groups
        if (there := report.of(group))
    }
    sets, failures = dict(report.quality), list[str]()
    for metric in asked:
        try:
            found = metric(files)
        except UserError as error:
            failures.append(str(error))
            continue
        if found.figures:
            pairs = zip(report.entries, found.figures, strict=True)
            entries = tuple(replace(old, figures=(*old.figures, new)) for old, new in pairs)
            report = replace(report, entries=entries)
        for group, mean in found.groups.items():
            sets[group] = (*sets.get(group, ()), mean)
        report = replace(report, notes=(*report.notes, *found.notes))
    return replace(report, quality=sets), tuple(failures)


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

    from ...model_files.filling import fill
    from ...preprocessors.learned.networks import load_state

    if not path.is_file():
        raise UserError(
            f"There is no aesthetic predictor at {path}: get it from {PREDICTOR} and put it there."
        )
    places = zip(PREDICTOR_PLACES, PREDICTOR_SIZES, PREDICTOR_SIZES[1:], strict=False)
    layers = nn.ModuleDict({str(place): nn.Linear(wide, narrow) for place, wide, narrow in places})
    fill(nn.ModuleDict({"layers": layers}), load_state(path), path, "the aesthetic predictor")
    return nn.Sequential(*layers.values())


def _seen(files: Sequence[Path], text: str) -> Iterator[Picture]:
    """The pictures in `files`, one after the other; `text` is on the bar."""
    with reporter().steps(len(files), text) as bar:
        for file in files:
            yield pixels(first_frame(file)[0])
            bar.advance()
