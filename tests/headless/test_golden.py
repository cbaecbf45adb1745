"""The embedded host makes what a real ComfyUI made of the same prompts and weights, recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import golden, two_hosts
from tests.two_hosts import BAR, Run, embedded, graph_of, latent_difference, psnr

CELLS, MARKS = golden.read()
SDXL_CELLS, SDXL_MARKS = golden.read("sdxl")

LATENT_BAR = 1e-4
"""Part of the latent's standard deviation. The hosts differ by up to 4e-5 on one machine: their
sums run in another order, and each step hands that on; other processors may double it. The
smallest of the mistakes in docs/two-hosts.md is eighty times as large."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of weights, drawn again."""
    return two_hosts.write_files(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def ours(base: Path) -> Run:
    return embedded(base)


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SDXL's files, 2 GB."""
    return two_hosts.write_files(tmp_path_factory.mktemp("golden_sdxl"), "sdxl")


@pytest.fixture(scope="module")
def sdxl_run(sdxl: Path) -> Run:
    return embedded(sdxl)


def test_the_weights_are_those_of_the_recording(base: Path) -> None:
    _same_weights(base, MARKS)


@pytest.mark.parametrize("name", CELLS)
def test_a_recorded_cell(name: str, ours: Run) -> None:
    _same(CELLS[name], ours)


@pytest.mark.slow
def test_sdxls_weights_are_those_of_the_recording(sdxl: Path) -> None:
    _same_weights(sdxl, SDXL_MARKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", SDXL_CELLS)
def test_a_recorded_cell_of_sdxl(name: str, sdxl_run: Run) -> None:
    _same(SDXL_CELLS[name], sdxl_run)


def _same_weights(base: Path, marks: dict[str, int]) -> None:
    assert golden.weights_marks(base) == marks, (
        "other weights are drawn than were recorded: record again with "
        "`python -m benchmarks.two_hosts --record`"
    )


def _same(cell: golden.Golden, run: Run) -> None:
    made = run(graph_of(cell.prompt))
    assert made.latent.shape == cell.made.latent.shape
    assert latent_difference(cell.made.latent, made.latent) < LATENT_BAR
    assert psnr(cell.made.pictures, made.pictures) > BAR
