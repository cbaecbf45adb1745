"""Pictures find their hints by name, and never two of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlstack.evaluation.files.pairing import Group, pair
from controlstack.ground.errors import UserError


def paths(*names: str) -> tuple[Path, ...]:
    return tuple(Path("somewhere") / name for name in names)


def found(pictures: tuple[str, ...], hints: tuple[str, ...], *endings: str) -> dict[str, str]:
    """Row's name -> picture's name."""
    rows = pair([Group("g", paths(*pictures))], paths(*hints), endings).rows
    return {row.name: str(row.pictures[0].name) for row in rows if row.pictures[0]}


@pytest.mark.parametrize(
    ("picture", "hint"),
    [
        ("garden.png", "garden.jpg"),
        ("Garden.PNG", "garden.png"),
        ("garden_00001_.png", "garden.png"),
        ("garden-seed 7.png", "garden.png"),
        ("garden.v2.png", "garden.png"),
        ("garden.png", "garden_edges.png"),
        ("Gärten 1.png", "gärten.png"),
        ("ga\u0308rten_1.png", "gärten.png"),
    ],
)
def test_names_that_belong_together(picture: str, hint: str) -> None:
    assert list(found((picture,), (hint, "other.png")).values()) == [picture]


@pytest.mark.parametrize(
    ("picture", "hint"),
    [
        ("gardens.png", "garden.png"),
        ("10.png", "1.png"),
        ("1.png", "10.png"),
        ("my_garden.png", "garden.png"),
    ],
)
def test_names_that_do_not(picture: str, hint: str) -> None:
    with pytest.raises(UserError, match=r"No picture has the name of a hint.*" + picture):
        found((picture,), (hint,))


def test_the_ending_of_controlstack_hint_does_not_count() -> None:
    assert found(("a.png",), ("a_canny.png",), "canny") == {"a": "a.png"}
    assert found(("A_00001_.png",), ("A_Canny.png",), "canny") == {"A": "A_00001_.png"}


def test_the_longest_hint_wins() -> None:
    hints = ("a.png", "a_1.png", "a_1_b.png")
    assert found(("a_1_b_2.png",), hints) == {"a_1_b": "a_1_b_2.png"}
    assert found(("a_1.png",), hints) == {"a_1": "a_1.png"}
    assert found(("a_2.png",), hints) == {"a": "a_2.png"}


def test_rows_hold_a_picture_of_each_group() -> None:
    groups = [Group("one", paths("a_1.png", "a_2.png", "b.png")), Group("two", paths("b.png"))]
    pairing = pair(groups, paths("b.png", "a.png", "c.png"))
    assert [(row.name, [p and p.name for p in row.pictures]) for row in pairing.rows] == [
        ("b", ["b.png", "b.png"]),
        ("a", ["a_1.png", None]),
        ("a #2", ["a_2.png", None]),
    ]
    assert pairing.lone_hints == paths("c.png")


def test_what_finds_no_partner_is_named() -> None:
    pairing = pair([Group("g", paths("a.png", "x.png"))], paths("a.png", "y.png"))
    assert (pairing.lone_pictures, pairing.lone_hints) == (paths("x.png"), paths("y.png"))


def test_two_hints_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match=r"a\.png and .*A_canny\.png are both hints of a"):
        found(("a.png",), ("a.png", "A_canny.png"), "canny")


def test_a_picture_that_fits_two_hints_is_refused() -> None:
    with pytest.raises(UserError, match=r"a\.png fits several hints: a_1\.png, a_2\.png"):
        found(("a.png",), ("a_1.png", "a_2.png"))
