"""What a resumed run has to have the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.training.assembly import matters
from controlstack.training.resume import check_same, in_force, write_settings
from controlstack.training.row_order import Shares
from controlstack.training.settings import DataSettings, RunSettings, TrainingSettings


def told(**data: object) -> dict[str, object]:
    return {**matters(RunSettings(data=DataSettings(**data)))}


def test_a_checkpoint_from_before_a_setting_was_there_can_be_resumed(tmp_path: Path) -> None:
    def names(training: dict[str, Any], **data: object) -> dict[str, Any]:
        return {**in_force(TrainingSettings(**training), told(**data), Shares(4))}

    later = ("compile", "data.resize_hints", "data.buckets", "network.rank")
    write_settings(tmp_path, {n: v for n, v in names({}).items() if n not in later})
    check_same(tmp_path, names({}))
    with pytest.raises(UserError, match=r": data\.resize_hints: False -> True\."):
        check_same(tmp_path, names({}, resize_hints=True))
    with pytest.raises(UserError, match=r": compile: False -> True\."):
        check_same(tmp_path, names({"compile": True}))
    with pytest.raises(UserError, match=r": data\.crop: 'center' -> 'random'\."):
        check_same(tmp_path, names({}, crop="random"))


def test_what_changes_nothing_that_is_learnt_may_change() -> None:
    assert told(outside=True, cache="elsewhere") == told()
