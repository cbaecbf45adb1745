"""Imports without Python's search for circles of objects."""

from __future__ import annotations

import gc
import subprocess
import sys

from controlstack.ground.garbage import uncollected

PROGRAM = """
import gc
from controlstack.ground.garbage import uncollected
searches = []
gc.callbacks.append(lambda phase, told: searches.append(told["generation"]))
with uncollected():
    assert not gc.isenabled()
    import email.mime.multipart, unittest.mock, xml.dom.minidom
assert gc.isenabled()
assert gc.get_freeze_count() > 1000
print(len(searches))
"""


def test_nothing_is_searched_while_libraries_are_imported() -> None:
    made = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert made.stdout.strip() == "0", made.stderr


def test_where_nothing_is_imported_nothing_is_set_aside() -> None:
    """What goes round in circles by then would stay for ever."""
    frozen = gc.get_freeze_count()
    with uncollected():
        import json  # noqa: F401
    assert gc.get_freeze_count() == frozen
    assert gc.isenabled()


def test_a_search_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
