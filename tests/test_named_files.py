"""Every file and folder that the pages for readers of the code name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "docs/how-it-works.md", "docs/families.md"]
)
def test_named_files_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?:[a-z_]+/)+(?:\w+\.(?:py|json|html))?)`", text))
    links = set(re.findall(r"\]\((?!http)([^)#]+)", text))
    here = (ROOT / page).parent
    missing = {name for name in paths if not (ROOT / name).exists()}
    missing |= {name for name in links if not (here / name).exists()}
    assert missing <= {"checkpoints/", "controlnet/", "controlstack/", "custom_nodes/", "models/"}
    assert len(paths | links) > 2
