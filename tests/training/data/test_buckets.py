"""Aspect buckets: which sizes there are, which one a picture takes, batches of one size each."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from controlstack.training.data.buckets import WIDEST, bucket_sizes, nearest
from controlstack.training.data.check import check
from controlstack.training.data.preview import preview
from controlstack.training.data.training_data import TrainingData, training_data
from controlstack.training.row_order import RowOrder, Shares
from controlstack.training.settings import DataSettings
from tests.training_files import FormulaEncoders, picture, save

SHAPES = [(48, 48), (96, 48), (48, 96), (64, 64), (96, 48), (80, 40), (48, 48)]
"""The sizes of a data set's pictures: three shapes."""


def mixed(folder: Path) -> Path:
    """A fill50k folder of pictures of all SHAPES."""
    lines = []
    for number, size in enumerate(SHAPES):
        save(folder / "target" / f"{number}.png", picture(number, *size))
        save(folder / "source" / f"{number}.png", picture(100 + number, *size))
        names = {"source": f"source/{number}.png", "target": f"target/{number}.png"}
        lines.append(json.dumps({**names, "prompt": f"prompt {number}"}))
    (folder / "prompt.json").write_text("\n".join(lines) + "\n")
    return folder


def settings(folder: Path, **chosen: object) -> DataSettings:
    return DataSettings(path=str(folder), **{"resolution": "64", "buckets": True, **chosen})


def data(folder: Path, **chosen: object) -> TrainingData:
    return training_data(settings(folder, **chosen), FormulaEncoders())


@pytest.mark.parametrize("area", [(512, 512), (768, 512), (128, 128), (1024, 1024), (64, 64)])
def test_buckets_have_one_area_and_no_extreme_shape(area: tuple[int, int]) -> None:
    sizes = bucket_sizes(area)
    pixels = area[0] * area[1]
    assert area in sizes
    assert len(set(sizes)) == len(sizes) > 4
    for width, height in sizes:
        assert width % 8 == height % 8 == 0
        assert max(width, height) <= WIDEST * min(width, height)
        assert 0.6 * pixels < width * height <= pixels
    assert {(height, width) for width, height in sizes} == set(sizes) or area[0] != area[1]


def test_512_has_its_buckets_in_steps_of_64() -> None:
    wide = [(512, 512), (576, 448), (640, 384), (768, 320)]
    found = [size for size in bucket_sizes((512, 512)) if size[0] >= size[1]]
    assert found == wide


def test_a_picture_takes_the_bucket_nearest_to_its_shape() -> None:
    area = (512, 512)
    for size in [(4000, 3000), (3000, 4000), (100, 100), (1920, 1080), (10, 1000)]:
        chosen = nearest(size, area)
        shape = math.log(size[0] / size[1])
        distances = [abs(math.log(w / h) - shape) for w, h in bucket_sizes(area)]
        assert abs(math.log(chosen[0] / chosen[1]) - shape) == min(distances)
    assert nearest((700, 700), area) == area


@pytest.mark.parametrize("cached", [False, True])
def test_every_batch_has_one_size_and_a_cache_changes_nothing(tmp_path: Path, cached: bool) -> None:
    folder = mixed(tmp_path / "data")
    made = data(folder, cache=str(tmp_path / "cache") if cached else "")
    order = RowOrder(len(made), 3, 0.5, Shares(batch=2), made.groups)
    picks = [*order.picks(range(8))]
    seen = Counter()
    for batch in made.load(picks):
        height, width = batch.hints.shape[2:]
        assert batch.latents.shape == (2, 4, height // 8, width // 8)
        seen[width, height] += 1
    assert set(seen) == {nearest(size, (64, 64)) for size in SHAPES}
    plain = data(folder)
    for one, other in zip(made.load(picks), plain.load(picks), strict=True):
        assert torch.equal(one.latents, other.latents)
        assert torch.equal(one.hints, other.hints)


def test_an_epoch_has_all_rows_and_a_resumed_run_sees_the_same(tmp_path: Path) -> None:
    groups = tuple(number % 3 for number in range(20))
    order = RowOrder(20, 7, 0.5, Shares(batch=4), groups)
    batches = [[pick.row for pick in batch] for batch in order.picks(range(12))]
    assert all(len({groups[row] for row in batch}) == 1 for batch in batches)
    epoch = batches[:6]  # 7, 7 and 6 rows are two batches each
    assert {row for batch in epoch for row in batch} == set(range(20))
    assert batches[6:] != epoch
    assert sorted(map(sorted, batches[6:])) != sorted(map(sorted, epoch))
    later = [[pick.row for pick in batch] for batch in order.picks(range(5, 12))]
    assert later == batches[5:]
    halves = [
        [pick.row for pick in batch]
        for process in range(2)
        for batch in RowOrder(20, 7, 0.5, Shares(4, 1, 2, process), groups).picks(range(3, 4))
    ]
    assert halves == batches[6:8]


def test_a_broken_row_is_stood_in_for_by_one_of_its_size(tmp_path: Path) -> None:
    folder = mixed(tmp_path)
    made = data(folder, bad_rows="skip")
    (folder / "target" / "1.png").write_bytes(b"broken")
    order = RowOrder(len(made), 3, 0.5, Shares(batch=3), made.groups)
    for batch in made.load(order.picks(range(9))):
        assert len(batch.latents) == 3


def test_the_report_tells_the_buckets_and_the_preview_keeps_shapes(tmp_path: Path) -> None:
    report = check(settings(mixed(tmp_path)))
    wide, tall = nearest((96, 48), (64, 64)), nearest((48, 96), (64, 64))
    assert f"trained in 3 buckets: 3 of 64 x 64, 3 of {wide[0]} x {wide[1]}, " in report.text
    assert f"1 of {tall[0]} x {tall[1]}, the middle of each" in report.text
    assert "smaller than their buckets will be scaled up" in report.text
    page = np.asarray(preview(report, 3))
    assert page.std() > 10
