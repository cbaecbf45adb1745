"""The table of other packs' names: whole, right about what there is here, and kept in the docs."""

from __future__ import annotations

import pytest

from controlstack.ground.errors import UserError
from controlstack.preprocessors.names import folded, is_name, named, words_of
from controlstack.preprocessors.other_names import EQUALS, WITHOUT, Equal
from controlstack.preprocessors.registry import PREPROCESSORS
from tests.preprocessors.other_packs import AUX, WEBUI

ROWS = (*EQUALS, *WITHOUT)
each_equal = pytest.mark.parametrize("row", EQUALS, ids=lambda row: row.names[0])


@pytest.mark.parametrize("name", [*dict.fromkeys((*AUX, *WEBUI)), "none"])
def test_every_published_name_is_ours_or_in_the_table(name: str) -> None:
    rows = [row for row in ROWS if name in row.names]
    assert len(rows) == (name not in PREPROCESSORS)
    if not rows or isinstance(rows[0], Equal):
        assert named(name).name == (rows[0].entry if rows else name)  # type: ignore[union-attr]
        return
    with pytest.raises(UserError) as refused:
        named(name)
    said = str(refused.value)
    assert said.startswith(f"{name} has no equal here: {rows[0].why}")
    assert rows[0].nearest in said


def test_the_table_has_no_name_that_nobody_published() -> None:
    spelt = {name for row in ROWS for name in row.names}
    # The class for which TEED's title is published, and what nodes and files call DWPose.
    assert spelt - {*AUX, *WEBUI} == {"TEED_Preprocessor", "dwpose"}


def test_no_name_is_in_two_rows_or_ours() -> None:
    every = [name for row in ROWS for name in row.names]
    assert len(every) == len(set(every))
    # One that came to the registry meanwhile goes out of the table.
    assert not {folded(name) for name in every} & {*PREPROCESSORS} - {"tile"}


def test_spellings_that_do_not_count_are_of_one_row_or_exact() -> None:
    meant: dict[str, set[int]] = {}
    for number, row in enumerate(ROWS):
        for name in row.names:
            meant.setdefault(folded(name), set()).add(number)
    assert {name for name, rows in meant.items() if len(rows) > 1} == set()
    assert named("Tile").parameters[0].default == 8.0
    assert named("tile") is PREPROCESSORS["tile"]
    for spelling in ("canny edge", "CANNYEDGEPREPROCESSOR", " m_lsd-lines "):
        assert named(spelling).name in ("canny", "mlsd")


@each_equal
def test_settings_and_models_of_a_row_are_there(row: Equal) -> None:
    entry = PREPROCESSORS[row.entry]
    by_name = named(row.names[0])
    changed = {**entry.settings({}), **row.settings}
    assert by_name.settings({}) == changed == entry.settings(dict(row.settings))
    assert all(entry.settings({})[name] != value for name, value in row.settings.items())
    models = [] if entry.learning is None else [one.name for one in entry.learning.models]
    assert set(row.models) <= set(models)
    if row.models:
        assert by_name.learning is not None
        assert [one.name for one in by_name.learning.models] == list(row.models)
        assert not by_name.learning.model_types
    told = f"{row.names[0]} is {words_of(row)} here"
    assert by_name.told == (f"{told}: {row.differs}" if row.differs else told)


@each_equal
def test_what_a_name_stands_for_is_our_preprocessor_in_all_else(row: Equal) -> None:
    entry, by_name = PREPROCESSORS[row.entry], named(row.names[0])
    assert (by_name.name, by_name.node, by_name.run) == (entry.name, entry.node, entry.run)
    assert [one.name for one in by_name.parameters] == [one.name for one in entry.parameters]
    if entry.learning is not None and by_name.learning is not None:
        assert by_name.learning.load is entry.learning.load


def test_words_of_rows_are_half_sentences() -> None:
    for row in ROWS:
        words = row.differs if isinstance(row, Equal) else row.why
        assert words == words.strip()
        assert not words.endswith((".", ";"))
        assert isinstance(row, Equal) or row.nearest in {"", *PREPROCESSORS}


def test_our_own_names_say_nothing() -> None:
    for name, entry in PREPROCESSORS.items():
        assert named(name) is entry
        assert named(name.replace("_", "-")) is entry
        assert not entry.told
        assert is_name(name)
    assert is_name("dwpose")
    assert not is_name("teapot")


@pytest.mark.parametrize("name", ["teapot", "", None, 7, {"preprocessor": "canny"}])
def test_what_is_no_name_is_refused_with_what_there_is(name: object) -> None:
    with pytest.raises(UserError, match=r"^There is no preprocessor .*; there is canny, .*\.$"):
        named(name)


def test_a_name_that_is_nearly_one_is_answered_with_it() -> None:
    for name, near in (("cany", "canny"), ("HEDPreprocesor", "HEDPreprocessor")):
        with pytest.raises(UserError, match=rf"did you mean {near}\?$"):
            named(name)
