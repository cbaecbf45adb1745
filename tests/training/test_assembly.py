"""What a resumed run has to have the same."""

from __future__ import annotations

from controlstack.training.assembly import matters
from controlstack.training.settings import DataSettings, RunSettings


def told(**data: object) -> dict[str, object]:
    return {**matters(RunSettings(data=DataSettings(**data)))}


def test_a_checkpoint_from_before_a_setting_was_there_can_be_resumed() -> None:
    assert "data.resize_hints" not in told()
    assert told(resize_hints=True)["data.resize_hints"] is True
    assert told()["data.crop"] == "center"


def test_what_changes_nothing_that_is_learnt_may_change() -> None:
    assert told(outside=True, cache="elsewhere") == told()
