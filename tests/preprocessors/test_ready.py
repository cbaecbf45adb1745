"""Weights that are looked for before a network is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlstack.ground.errors import UserError
from controlstack.preprocessors.model_choice import Choice
from controlstack.preprocessors.ready import InFolders, fetch, load
from controlstack.preprocessors.registry import PREPROCESSORS


def test_weights_are_found_without_a_network_being_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(_: Choice) -> None:
        raise AssertionError("a network was loaded")

    monkeypatch.setattr(Choice, "load", loaded)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    here = InFolders([tmp_path])
    fetch(PREPROCESSORS["pose_body"], "", here)  # its weights ship with the pack
    with pytest.raises(AssertionError, match="was loaded"):
        load(PREPROCESSORS["pose_body"], "", here)
    with pytest.raises(UserError, match="ControlNetHED"):
        fetch(PREPROCESSORS["hed"], "", here)
