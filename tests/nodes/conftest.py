"""An embedded host with folders of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from controlstack.demo.models import BASE
from controlstack.headless import folders, host


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The embedded host's empty models/controlstack, and an empty Hugging Face cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    used = folders.Folders((tmp_path / "models",), (tmp_path,), tmp_path, tmp_path)
    with host.use(used):
        yield tmp_path / "models" / "controlstack"


def folders_in(place: Path) -> folders.Folders:
    """The embedded host's folders in `place`, the demo model among its checkpoints."""
    return folders.Folders(
        (place / "models",),
        (place / "input",),
        place / "output",
        place / "temp",
        {"checkpoints": {"demo": BASE}},
    )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder with the embedded host's folders in it, the demo model among its checkpoints."""
    with host.use(folders_in(tmp_path)):
        yield tmp_path
