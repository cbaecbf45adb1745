"""What a validation tries: rows held out of the data, and hints of a user's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from controlstack.ground.errors import UserError
from controlstack.preprocessors.canny import canny
from controlstack.training.data.check import check
from controlstack.training.samples import (
    evenly,
    held_out,
    prompted,
    samples_of_files,
    samples_of_rows,
)
from controlstack.training.settings import DataSettings, ValidationSettings


def square(number: int, size: tuple[int, int] = (32, 32)) -> Image.Image:
    """A grey square, another place and shade for each number."""
    picture = Image.new("RGB", size, (10 * number, 60, 200))
    picture.paste((255, 255, 255), (number, 4, number + 10, 20))
    return picture


def data(folder: Path, count: int, size: tuple[int, int] = (32, 32)) -> DataSettings:
    """A fill50k folder whose hints are made of its pictures."""
    lines = []
    for number in range(count):
        square(number, size).save(folder / f"{number}.png")
        lines.append(json.dumps({"target": f"{number}.png", "prompt": f"number {number}"}))
    (folder / "prompt.json").write_text("\n".join(lines))
    return DataSettings(path=str(folder), condition="canny", resolution="32", flip=1.0)


def test_rows_that_are_held_out_are_not_trained_on(tmp_path: Path) -> None:
    report = check(data(tmp_path, 20), full=False)
    split = held_out(report, 4)
    captions = [row.caption for row in split.held]
    assert captions == ["number 0", "number 10"]  # at most a tenth, spread evenly
    kept = [row.caption for row in split.kept.rows.good]
    assert sorted(captions + kept) == sorted(row.caption for row in report.rows.good)
    assert len(held_out(report, 1).held) == 1


def test_too_few_rows_to_hold_some_out(tmp_path: Path) -> None:
    report = check(data(tmp_path, 9), full=False)
    with pytest.raises(UserError, match=r"has 9 rows, too few .* 10 are needed"):
        held_out(report, 1)


def test_a_row_is_seen_as_it_is_in_the_middle_and_unmirrored(tmp_path: Path) -> None:
    report = check(data(tmp_path, 3, (48, 32)), full=False)
    rows = report.rows.good[1:2]
    (sample,) = samples_of_rows(rows, report, None)
    wanted = np.asarray(square(1, (48, 32)))[:, 8:40]
    assert sample.target is not None
    assert (sample.target == wanted).all()
    assert sample.prompt == "number 1"
    hint = torch.from_numpy(canny(np.ascontiguousarray(wanted))).permute(2, 0, 1) / 255
    assert torch.equal(sample.hint, hint)


def test_prompts_of_a_file_take_the_captions_place(tmp_path: Path) -> None:
    report = check(data(tmp_path, 3), full=False)
    (tmp_path / "prompts.txt").write_text("one\ntwo\n\nfour", encoding="utf-8")
    settings = ValidationSettings(prompts=str(tmp_path / "prompts.txt"))
    rows = samples_of_rows(report.rows.good, report, None)
    samples = prompted(rows, settings)
    assert [one.prompt for one in samples] == ["one", "two", ""]
    with pytest.raises(UserError, match="has 4 prompts for 5 pictures"):
        prompted(rows[:1] * 5, settings)
    notes: list[str] = []
    prompted(rows[:2], settings, notes)
    assert [note.partition(" has ")[2] for note in notes] == [
        "4 prompts for 2 pictures; the last have no use"
    ]
    prompted((*rows, rows[0]), settings, notes)
    assert len(notes) == 1
    missing = ValidationSettings(prompts=str(tmp_path / "none.txt"))
    with pytest.raises(UserError, match=r"cannot read the prompts .*none\.txt: No such file"):
        prompted(rows, missing)


def test_things_are_taken_evenly_from_the_first_on() -> None:
    assert evenly(range(24), 4) == (0, 6, 12, 18)
    assert evenly(range(3), 8) == (0, 1, 2)
    assert evenly((), 4) == ()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
def test_prompts_are_read_from_plain_files_of_some_size(tmp_path: Path) -> None:
    square(1).save(tmp_path / "1.png")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"a\n" * (3 << 20))
    said = {"pipe": "but a pipe", "large": "is larger than 4.2 MB", "/dev/zero": "but a device"}
    for name, why in said.items():
        prompts = str(tmp_path / name)
        with pytest.raises(UserError, match=why):
            samples_of_files(ValidationSettings(hints=str(tmp_path / "1.png"), prompts=prompts))


def test_hints_of_a_user(tmp_path: Path) -> None:
    for number in range(3):
        square(number, (64, 40)).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    samples = samples_of_files(ValidationSettings(hints=str(tmp_path), count=2))
    assert [tuple(one.hint.shape) for one in samples] == [(3, 40, 64)] * 2
    wanted = torch.from_numpy(np.array(square(1, (64, 40)))).permute(2, 0, 1) / 255
    assert torch.equal(samples[1].hint, wanted)
    assert [(one.prompt, one.target) for one in samples] == [("", None)] * 2
    (alone,) = samples_of_files(ValidationSettings(hints=str(tmp_path / "2.png")))
    for count, said in ((4, []), (1, []), (5, [f"count is 5, and {tmp_path / '2.png'} has 1"])):
        notes: list[str] = []
        samples_of_files(ValidationSettings(hints=str(tmp_path / "2.png"), count=count), notes)
        assert [note.removeprefix("the validation's ") for note in notes] == said
    assert alone.hint.shape == (3, 40, 64)
    (tmp_path / "4.psd").write_bytes(b"")
    told: list[str] = []
    samples_of_files(ValidationSettings(hints=str(tmp_path), count=2), told)
    assert told == [f"1 picture is left out of {tmp_path}: 4.psd; save it as PNG"]


def test_hints_of_many_levels_keep_them(tmp_path: Path) -> None:
    """16-bit grey came out white."""
    levels = np.linspace(0, 65_535, 64 * 8, dtype=np.uint16).reshape(8, 64)
    Image.fromarray(levels).save(tmp_path / "depth.png")
    (sample,) = samples_of_files(ValidationSettings(hints=str(tmp_path)))
    assert np.abs(sample.hint.numpy() - levels / 65_535).max() < 1e-6


def test_hints_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no hint to validate on in"):
        samples_of_files(ValidationSettings(hints=str(tmp_path)))
    with pytest.raises(UserError, match=r"none\.png"):
        samples_of_files(ValidationSettings(hints=str(tmp_path / "none.png")))
    square(1, (63, 40)).save(tmp_path / "odd.png")
    with pytest.raises(UserError, match="is 63 x 40 pixels; both sides have to be multiples of 8"):
        samples_of_files(ValidationSettings(hints=str(tmp_path)))
