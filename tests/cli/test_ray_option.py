"""`--ray`, which may stand alone: what follows it is an address, or the command's own."""

from __future__ import annotations

import pytest

from controlstack.cli.cluster import with_address


@pytest.mark.parametrize(
    "address", ["auto", "local", "head:6379", "10.0.0.1:1", "ray://head:10001", "[::1]:6379"]
)
def test_an_address_is_taken(address: str) -> None:
    asked = ["canny", "photos", "--ray", address, "--out", "hints"]
    assert with_address(asked) == asked


@pytest.mark.parametrize(
    "after",
    [
        ("--actors", "2"),
        ("--set=KSampler.steps=1..10:4",),
        ("--set", "KSampler.steps=1..10:4"),
        ("-x:1",),
        ("C:\\work\\pose.json",),
        ("C:/mine/pose.json",),
        ("photos",),
        ("KSampler.steps=1:4",),
        ("--",),
        (),
    ],
)
def test_what_is_no_address_stays_the_commands_own(after: tuple[str, ...]) -> None:
    assert with_address(["wf.json", "--ray", *after]) == ["wf.json", "--ray", "local", *after]


def test_behind_two_dashes_it_is_a_name() -> None:
    asked = ["canny", "--", "--ray", "x"]
    assert with_address(asked) == asked
