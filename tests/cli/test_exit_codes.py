"""What strangers' words, errors of memory and bugs become on the terminal."""

from __future__ import annotations

import sys

import pytest
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from controlstack.cli.exit_codes import reported
from controlstack.cli.nodes import _describe
from controlstack.cli.progress import TerminalReporter
from controlstack.cli.say import literal, note, say, show, tell
from controlstack.ground.errors import UserError, several
from controlstack.headless.graph.registry import InputSpec

EVIL = "a\x1b[2J\r\nError: b\u202egnp.\u2028[red]c[/]\udcff"
SAFE = r"a\x1b[2J\r\nError: b\u202egnp.\u2028[red]c[/]\udcff"


def told(error: BaseException, capsys: pytest.CaptureFixture[str], debug: bool = False) -> str:
    """ "code, what stands on stderr"."""
    with pytest.raises(SystemExit) as ended, reported(debug):
        raise error
    out, err = capsys.readouterr()
    assert out == ""
    return f"{ended.value.code}, {err}"


@pytest.mark.parametrize(("way", "begins"), [(say, ""), (tell, ""), (note, "Note: ")])
def test_words_are_one_line(way: object, begins: str, capsys: pytest.CaptureFixture[str]) -> None:
    way(EVIL)
    out, err = capsys.readouterr()
    ends = "." if begins else ""
    assert (out + err).splitlines() == [begins + SAFE + ends]
    assert bool(out) == (way is say)


def test_a_note_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    note("one")
    note("two.")
    assert capsys.readouterr().err == "Note: one.\nNote: two.\n"


def test_tables_take_words_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title=literal(EVIL))
    table.add_column(literal(EVIL))
    table.add_row(literal(EVIL, "second"))
    show(table, literal(EVIL))
    out = capsys.readouterr().out
    assert out.count(SAFE) == 4
    assert "\x1b" not in out


def test_a_bar_takes_words_as_they_are() -> None:
    progress = Progress(console=Console(file=None), disable=True)
    terminal = TerminalReporter(progress)
    terminal.stage(EVIL)
    assert progress.tasks[0].description == SAFE
    with terminal.steps(2, EVIL):
        assert progress.tasks[0].description == SAFE


def test_choices_are_words_of_strangers() -> None:
    spec = InputSpec("image", "COMBO", True, (EVIL,), {})
    assert literal(_describe(spec)).plain == f"image: COMBO one of {SAFE}"


def test_details_stand_on_lines_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    error = several("2 files are wrong:", [f"{EVIL} is one", "b is one"])
    assert told(error, capsys) == f"2, Error: 2 files are wrong:\n  {SAFE} is one\n  b is one\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError(EVIL), f"2, Error: {SAFE}\n"),
        (OSError(28, "No space left on device", EVIL), f"2, Error: {SAFE}: No space left on dev"),
        (OSError("gone"), "2, Error: gone\n"),
        (KeyError(EVIL), "1, Error: KeyError: "),
        (RecursionError("too deep"), "1, Error: RecursionError: too deep. This is a bug; --debug"),
        (KeyboardInterrupt(), "130, Stopped.\n"),
    ],
)
def test_every_error_is_a_line(
    error: BaseException, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(error, capsys)
    assert found.startswith(said)
    assert found.count("\n") == 1
    assert "\x1b" not in found


def _of_torch() -> BaseException:
    import torch

    try:
        torch.empty(1 << 60)
    except RuntimeError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("error", [MemoryError(), _of_torch()], ids=["Python", "torch"])
def test_memory_that_ran_out_is_a_users_to_mend(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(error, capsys)
    assert found.startswith("2, Error: this command ran out of memory (")
    assert "GB are free: make pictures or batches smaller" in found


def test_a_trace_is_shown_by_debug_alone(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(KeyError(EVIL), capsys, debug=True)
    assert "Traceback" in found
    assert "\x1b" not in found
    assert sys.stdout is not None
