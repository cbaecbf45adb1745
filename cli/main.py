"""The entry point of `controlstack`: the frame around the whole command.

Imports nothing but Python's own before Ctrl-C is heard; the command itself is imported inside it.
"""

from __future__ import annotations

import sys

from ..ground.garbage import leave_all, uncollected
from .interrupt import STOPPED, interrupts


def main() -> None:
    """Run the command of `sys.argv` and end the process with its exit code (see `outcome`)."""
    interrupts.listen()
    try:
        code = _run()
        interrupts.end()
    except KeyboardInterrupt:
        interrupts.end()
        code = STOPPED
    if interrupts.asked and not interrupts.said:  # also where whoever caught it went on
        from .say import tell

        tell("Stopped.")
        code = STOPPED
    leave_all()
    sys.exit(code)


def _run() -> str | int | None:
    from . import streams

    streams.prepare()
    try:
        from .exit_codes import reported

        with reported("--debug" in sys.argv):
            with uncollected():
                from .app import app

            try:
                app()
            finally:
                sys.stdout.flush()
    except SystemExit as ended:
        return ended.code
    return 0
