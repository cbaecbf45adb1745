"""Captions: lists of which each step draws one, and those that no text encoder reads whole."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from controlstack.training.batch import Pick
from controlstack.training.data.captions import LONGEST, Room
from controlstack.training.data.check import check
from controlstack.training.data.row import Bad
from controlstack.training.data.rows import read_rows
from controlstack.training.data.training_data import TrainingData, training_data
from controlstack.training.row_order import RowOrder, Shares
from controlstack.training.settings import DataSettings
from tests.training_files import FormulaEncoders, embedding, fill50k, picture, save

TEXTS = ["one", "two", "three"]


def listed(folder: Path, captions: object = TEXTS, form: str = "lines") -> Path:
    """Two rows; the first has `captions`."""
    fill50k(folder, 2)
    lines = (folder / "prompt.json").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    rows[0]["prompt"] = captions
    whole = "\n".join(map(json.dumps, rows)) if form == "lines" else json.dumps(rows)
    (folder / "prompt.json").write_text(whole)
    return folder


def data_of(folder: Path, encoders: FormulaEncoders, cache: str = "") -> TrainingData:
    return training_data(DataSettings(path=str(folder), resolution="48", cache=cache), encoders)


@pytest.mark.parametrize("form", ["lines", "list"])
def test_a_list_of_captions(tmp_path: Path, form: str) -> None:
    row, other = read_rows(DataSettings(path=str(listed(tmp_path, form=form)))).good
    assert row.captions == tuple(TEXTS)
    assert row.caption == "one"  # where one has to stand for all
    assert other.captions == ("prompt 1",)


def test_a_list_in_a_data_set_of_the_library(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = {"image": ["a", "b", "c"], "text": [TEXTS, [], ["one", None]]}
    datasets.Dataset.from_dict(table).save_to_disk(str(tmp_path / "saved"))
    rows = read_rows(DataSettings(path=str(tmp_path / "saved"), condition="canny"))
    assert [row.captions for row in rows.good] == [tuple(TEXTS)]
    assert list(map(str, rows.bad)) == [
        "row 2: no caption: text is an empty list",
        "row 3: no caption: text is a list with null",
    ]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([], "no caption: prompt is an empty list"),
        (["one", 2], "no caption: prompt is a list with 2"),
        ([["one"]], "no caption: prompt is a list with ['one']"),
        ("x" * (LONGEST + 1), f"prompt has {LONGEST + 1} letters; at most {LONGEST} are read"),
        (7, "no caption: prompt is 7"),
    ],
)
def test_what_is_no_caption(tmp_path: Path, value: object, why: str) -> None:
    rows = read_rows(DataSettings(path=str(listed(tmp_path, value))))
    assert rows.bad == (Bad("prompt.json, line 1", why),)
    assert len(rows.good) == 1


def test_half_of_a_surrogate_pair(tmp_path: Path) -> None:
    (bad,) = read_rows(DataSettings(path=str(listed(tmp_path, "cat \ud83d")))).bad
    assert bad.why == "it is no row: the text 'cat \\ud83d' holds half of a surrogate pair"


@pytest.mark.parametrize("cached", [False, True])
def test_a_step_draws_one_by_its_seed(tmp_path: Path, cached: bool) -> None:
    cache = str(tmp_path / "cache") if cached else ""
    data = data_of(listed(tmp_path / "data"), FormulaEncoders(), cache)
    picks = [[Pick(0, seed, drop=False)] for seed in range(60)]
    words = [batch.words[0] for batch in data.load(picks)]
    drawn = [next(t for t in TEXTS if torch.equal(one, embedding(t))) for one in words]
    assert min(Counter(drawn)[text] for text in TEXTS) > 8  # 20 of 60 are expected
    again = [batch.words[0] for batch in data.load(picks[30:], workers=0)]
    assert all(map(torch.equal, again, words[30:]))  # whatever was drawn before
    (empty,) = data.load([[Pick(0, 5, drop=True)]])
    assert torch.equal(empty.words[0], embedding(""))


def test_a_cache_changes_nothing_and_holds_every_text(tmp_path: Path) -> None:
    folder = listed(tmp_path / "data")
    picks = list(RowOrder(2, 3, 0.3, Shares(2)).picks(range(20)))
    encoders, cache = FormulaEncoders(), str(tmp_path / "cache")
    plain = data_of(folder, FormulaEncoders()).load(picks)
    kept = data_of(folder, encoders, cache).load(picks)
    for one, other in zip(plain, kept, strict=True):
        assert torch.equal(one.words, other.words)
    assert sorted(encoders.prompts_seen) == ["", "one", "prompt 1", "three", "two"]


def test_a_changed_list_is_other_data(tmp_path: Path) -> None:
    prints = {
        data_of(listed(tmp_path / str(n), texts), FormulaEncoders()).fingerprint
        for n, texts in enumerate((["one"], ["one", "two"], ["two", "one"], "two"))
    }
    assert len(prints) == 4
    one = data_of(listed(tmp_path / "text", "one"), FormulaEncoders()).fingerprint
    assert one in prints  # a list of one is that one


def test_captions_that_are_cut_are_counted(tmp_path: Path) -> None:
    folder = fill50k(tmp_path / "data", 4)
    file = folder / "prompt.json"
    text = file.read_text().replace("prompt 1", "w " * 76).replace("prompt 2", "w " * 90)
    file.write_text(text.replace("prompt 3", "w " * 75))
    said = (
        "the captions of 2 rows are longer than the 75 tokens that a text encoder reads (the "
        "longest has 90); what is beyond is cut off"
    )
    assert data_of(folder, FormulaEncoders()).notes == (said,)
    counted = check(DataSettings(path=str(folder)), room=Room(75, FormulaEncoders().tokens))
    assert f"Note: {said}." in counted.text
    assert "tokens" not in check(DataSettings(path=str(folder))).text


def test_the_tokenizer_of_sd_counts(tmp_path: Path) -> None:
    from controlstack.headless.caption_room import caption_room

    room = caption_room(None)
    assert room is not None
    assert list(room.count(["a cat", "", "cat " * 80])) == [2, 0, 80]
    save(tmp_path / "a.png", picture(0))
    (tmp_path / "a.txt").write_text("cat " * 80)
    report = check(DataSettings(path=str(tmp_path), condition="canny"), room=room)
    assert "the caption of 1 row is longer than the 75 tokens" in report.text
