"""`docs/hints.md`: its table is the registry's, its words are about what there is."""

from __future__ import annotations

import re

from controlstack.preprocessors.making import FIT, RESOLUTION
from controlstack.preprocessors.pose.draw import DRAWING
from controlstack.preprocessors.registry import PREPROCESSORS
from controlstack.preprocessors.sizing import AUTO_RESOLUTION
from tools.hints_doc import PATH, conventions, document

TEXT = PATH.read_text(encoding="utf-8")


def test_the_table_is_the_registry_s() -> None:
    assert document(TEXT) == TEXT, "run: python -m tools.help_pages"


def test_every_preprocessor_has_its_convention_and_no_other() -> None:
    told = conventions(TEXT)
    assert list(told) == list(PREPROCESSORS)
    assert all(told.values()), "write it into the table, by hand"


def test_what_may_not_be_sold_is_marked() -> None:
    for line in TEXT.splitlines():
        name = re.match(r"\| `(\w+)` \| \[", line)
        if name is None:
            continue
        learning = PREPROCESSORS[name[1]].learning
        models = () if learning is None else (*learning.models, *learning.also)
        marked = "not for commercial use" in line
        assert marked == any(not model.commercial for model in models), name[1]


def test_conventions_are_kept_and_the_rest_is_made() -> None:
    changed = TEXT.replace("| [Canny Hint](", "| [Kenny Hint](")
    assert changed != TEXT
    assert document(changed) == TEXT


def test_settings_that_are_named_are_there() -> None:
    for parameter in (FIT, RESOLUTION, *DRAWING):
        assert f"`{parameter.name}`" in TEXT
    assert f"up to {AUTO_RESOLUTION};" in TEXT
    for choice in FIT.choices:
        assert f"\n| `{choice}` |" in TEXT


def test_preprocessors_that_are_named_elsewhere_are_there() -> None:
    after = TEXT.partition("## What is not here")[2]
    named = set(re.findall(r"`([a-z_0-9]+)`", after)) - {"control_v11p_sd15_seg"}
    assert named <= set(PREPROCESSORS)


def test_links_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (PATH.parent / target).is_file(), target
