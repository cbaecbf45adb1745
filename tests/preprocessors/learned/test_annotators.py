"""What the networks of controlnet-aux have in common here: the library's own detectors as
reference, any size of picture, nothing moved, and the files they refuse."""

from __future__ import annotations

import contextlib
import io
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.preprocessors.learned.anyline import ANYLINE
from controlstack.preprocessors.learned.hed import HED, HED_SCRIBBLE
from controlstack.preprocessors.learned.lineart import LINEART
from controlstack.preprocessors.learned.lineart_anime import LINEART_ANIME
from controlstack.preprocessors.learned.mlsd import MLSD
from controlstack.preprocessors.learned.normal_bae import NORMAL_BAE
from controlstack.preprocessors.learned.pidinet import PIDINET, PIDINET_SCRIBBLE
from controlstack.preprocessors.learned.teed import TEED
from controlstack.preprocessors.spec import Annotator, Preprocessor
from tests.annotator_files import publish, random_state

Picture = npt.NDArray[np.uint8]

CPU = torch.device("cpu")
ENTRIES = (
    *(HED, HED_SCRIBBLE, PIDINET, PIDINET_SCRIBBLE, MLSD, LINEART, LINEART_ANIME, NORMAL_BAE),
    *(TEED, ANYLINE),
)
by_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


def _files(entry: Preprocessor) -> tuple[str, ...]:
    assert entry.learning is not None
    return entry.learning.models[0].files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All of the published files, 0.6 GB, with random numbers."""
    base = tmp_path_factory.mktemp("annotators")
    for seed, file in enumerate(dict.fromkeys(file for e in ENTRIES for file in _files(e))):
        publish(base, file, random_state(file, seed))
    yield base
    shutil.rmtree(base)


@pytest.fixture(scope="module")
def loaded(folder: Path) -> dict[str, Annotator]:
    return {entry.name: _load(entry, folder) for entry in ENTRIES}


def _load(entry: Preprocessor, folder: Path) -> Annotator:
    assert entry.learning is not None
    return entry.learning.load([folder / file for file in _files(entry)])


def _scene(height: int, width: int) -> Picture:
    """Slopes, a rectangle, a disc, a black line, and some noise."""
    y, x = np.mgrid[:height, :width]
    slopes = (x * 255 / width, y * 255 / height, (x + y) * 120 / (height + width))
    picture = np.stack(slopes, axis=2).astype(np.uint8)
    picture[height // 8 : height // 2, width // 6 : width // 2] = 230, 40, 60
    cv2.circle(picture, (width * 7 // 10, height * 6 // 10), height // 5, (20, 200, 240), -1)
    cv2.line(picture, (3, height - 9), (width - 20, 5), (0, 0, 0), 2)
    noise = np.random.default_rng(0).integers(-9, 10, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Case:
    """A hint of ours and the detector of controlnet-aux that makes it, with its own words."""

    entry: Preprocessor
    detector: str
    ours: dict[str, Any]
    theirs: dict[str, Any]
    off: float = 0.0
    """The part of the pixels that may differ by rounding: our HED sums and resizes in single
    precision where the reference is, the reference's sigmoid is in double precision."""
    image_resolution: bool = True


CASES = {
    "hed": Case(HED, "HEDdetector", {}, {}, off=0.01),
    "hed safe": Case(HED, "HEDdetector", {"safe": True}, {"safe": True}, off=0.001),
    "hed scribble": Case(HED_SCRIBBLE, "HEDdetector", {}, {"scribble": True}, off=0.01),
    "pidinet": Case(PIDINET, "PidiNetDetector", {}, {}),
    "pidinet safe": Case(PIDINET, "PidiNetDetector", {"safe": True}, {"safe": True}),
    "pidinet scribble": Case(PIDINET_SCRIBBLE, "PidiNetDetector", {}, {"scribble": True}),
    "mlsd": Case(MLSD, "MLSDdetector", {}, {}),
    "mlsd, thresholds": Case(
        *(MLSD, "MLSDdetector"),
        {"value_threshold": 0.9, "distance_threshold": 9.0},
        {"thr_v": 0.9, "thr_d": 9.0},
    ),
    "line art": Case(LINEART, "LineartDetector", {}, {}),
    "line art, coarse": Case(LINEART, "LineartDetector", {"coarse": True}, {"coarse": True}),
    "anime line art": Case(LINEART_ANIME, "LineartAnimeDetector", {}, {}),
    "normal bae": Case(NORMAL_BAE, "NormalBaeDetector", {}, {}),
    "teed": Case(TEED, "TEEDdetector", {}, {}, off=0.001, image_resolution=False),
    "teed, smooth": Case(
        *(TEED, "TEEDdetector"),
        {"safe_steps": 0},
        {"safe_steps": 0},
        off=0.01,
        image_resolution=False,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_hint_is_that_of_the_librarys_own_detector(
    case: Case, folder: Path, loaded: dict[str, Annotator]
) -> None:
    side = 256 if case.entry is LINEART_ANIME else 128  # else the reference stretches the picture
    picture = _scene(side, side)
    theirs = _reference(case, folder, picture)
    ours = loaded[case.entry.name](picture, CPU, **case.entry.settings(case.ours))
    assert theirs.std() > 5  # a hint, and not a plain colour
    different = (ours != np.broadcast_to(np.atleast_3d(theirs), ours.shape)).mean()
    assert different <= case.off


def _reference(case: Case, folder: Path, picture: Picture) -> Picture:
    side = picture.shape[0]
    sizes = {"detect_resolution": side} | (
        {"image_resolution": side} if case.image_resolution else {}
    )
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        import controlnet_aux

        detector = getattr(controlnet_aux, case.detector)
        filename = {"filename": _files(TEED)[0]} if case.entry is TEED else {}
        found = detector.from_pretrained(folder, **filename)(
            picture, output_type="np", **sizes, **case.theirs
        )
    return np.asarray(found)


@by_entry
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 2), (33, 65), (3, 1024)])
def test_any_size_of_picture_keeps_its_size(
    entry: Preprocessor, size: tuple[int, int], loaded: dict[str, Annotator]
) -> None:
    picture = _scene(64, 1024)[: size[0], : size[1]]
    picture.flags.writeable = False
    hint = loaded[entry.name](picture, CPU, **entry.settings({}))
    assert hint.shape == (*size, 3)
    assert hint.dtype == np.uint8
    assert np.array_equal(hint, loaded[entry.name](picture, CPU, **entry.settings({})))


@by_entry
def test_nothing_is_moved_in_a_picture_whose_sides_do_not_divide(
    entry: Preprocessor, loaded: dict[str, Annotator]
) -> None:
    """A part of a picture has the hint of the whole there, not one or more pixels beside it."""
    picture = _scene(256, 256)
    part = np.ascontiguousarray(picture[:250, :243])
    settings = entry.settings({"safe_steps": 0} if entry is TEED else {})
    whole = loaded[entry.name](picture, CPU, **settings).astype(float)
    hint = loaded[entry.name](part, CPU, **settings).astype(float)
    assert hint.std() > 3
    assert _best_shift(whole, hint) == (0, 0)


def _best_shift(whole: npt.NDArray[np.float64], part: npt.NDArray[np.float64]) -> tuple[int, int]:
    """How far down and right, to 3 pixels, the middle of `part` lies in `whole`."""
    bottom, right = part.shape[0] - 40, part.shape[1] - 40
    middle = part[40:bottom, 40:right]
    errors = {
        (y, x): np.abs(whole[40 + y : bottom + y, 40 + x : right + x] - middle).mean()
        for y in range(-3, 4)
        for x in range(-3, 4)
    }
    return min(errors, key=errors.__getitem__)


@by_entry
def test_networks_are_ready_to_run(entry: Preprocessor, loaded: dict[str, Annotator]) -> None:
    networks = loaded[entry.name].networks
    assert len(networks) == len(_files(entry))
    for network in networks:
        assert not any(module.training for module in network.modules())
        assert all(value.dtype == torch.float32 for value in network.parameters())
        assert not any(value.requires_grad for value in network.parameters())


@by_entry
def test_another_networks_file_is_refused_by_name(entry: Preprocessor, folder: Path) -> None:
    other = folder / (_files(MLSD)[0] if entry is not MLSD else _files(HED)[0])
    assert entry.learning is not None
    with pytest.raises(UserError, match=rf"{other.name} does not hold .*, it seems to be "):
        entry.learning.load([other] * len(_files(entry)))


@by_entry
def test_damaged_weights_are_said(entry: Preprocessor, loaded: dict[str, Annotator]) -> None:
    annotator = loaded[entry.name]
    last = list(annotator.networks[0].parameters())[-1]
    kept = last.clone()
    try:
        with torch.no_grad():
            last.fill_(float("nan"))
        with pytest.raises(UserError, match="no finite numbers; its weights are damaged"):
            annotator(_scene(32, 32), CPU, **entry.settings({}))
    finally:
        with torch.no_grad():
            last.copy_(kept)


@by_entry
def test_another_kind_of_picture_is_refused(
    entry: Preprocessor, loaded: dict[str, Annotator]
) -> None:
    with pytest.raises(UserError, match="needs a picture of bytes"):
        loaded[entry.name](np.zeros((8, 8), np.uint8), CPU, **entry.settings({}))


GIVEN = {
    # Colours as the table of conventions has them, numbers as the annotators' sources do.
    "hed": (HED, lambda rgb: rgb),
    "pidinet": (PIDINET, lambda rgb: rgb[::-1] / 255),
    "line art": (LINEART, lambda rgb: rgb / 255),
    "anime line art": (LINEART_ANIME, lambda rgb: rgb / 127.5 - 1),
    "mlsd": (MLSD, lambda rgb: np.array([*rgb, 1]) / 127.5 - 1),
    "normal bae": (
        NORMAL_BAE,
        lambda rgb: (rgb / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225),
    ),
    "teed": (TEED, lambda rgb: rgb),
    "anyline": (ANYLINE, lambda rgb: rgb),
}


class _SeenError(Exception):
    """What a network was given."""


@pytest.mark.parametrize(("entry", "expected"), GIVEN.values(), ids=GIVEN.keys())
def test_a_network_is_given_the_colours_it_was_trained_on(
    entry: Preprocessor, expected: Any, loaded: dict[str, Annotator]
) -> None:
    def look(given: torch.Tensor) -> None:
        raise _SeenError(given)

    annotator: Any = loaded[entry.name]
    picture = np.full((6, 5, 3), (10, 100, 250), np.uint8)
    with pytest.raises(_SeenError) as seen:
        annotator.draw(picture, CPU, *[look for _ in annotator.networks])
    given = seen.value.args[0]
    assert given.dtype == torch.float32
    assert all(side % 4 == 0 for side in given.shape[2:])
    assert given.shape[1] == len(expected(np.zeros(3)))
    wanted = torch.tensor(expected(np.array([10.0, 100.0, 250.0])), dtype=torch.float32)
    assert torch.allclose(given, wanted.view(1, -1, 1, 1).expand_as(given), atol=1e-6)
