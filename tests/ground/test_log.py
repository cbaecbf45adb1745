"""A log line is one line, whatever a file is called."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from controlstack.ground.errors import UserError
from controlstack.ground.log import log


def test_names_from_files_are_escaped(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "controlstack"):
        log.info("saved %s as %s, %.1f %%", Path("a\nb"), "\x1b[31mred\u202e", 1.5)
        log.warning("%s", UserError("two rows:", ["1", "2\n3"]))
        log.info("done")
    first, second, third = caplog.messages
    assert first == r"saved a\nb as \x1b[31mred\u202e, 1.5 %"
    assert second.splitlines() == ["two rows:", "  1", r"  2\n3"]
    assert third == "done"
