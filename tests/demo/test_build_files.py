"""Files of the work folder: whole, or made again; never a pickle, never another recipe's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from controlstack.cli.demo_model import print_progress
from controlstack.demo import build
from controlstack.demo.build_base import finish
from controlstack.demo.build_data import _create, _rendered
from controlstack.demo.build_files import is_whole, keep, kept
from controlstack.demo.training_folder import write_folder
from controlstack.ground.errors import UserError
from controlstack.ground.lock import working_in
from controlstack.training.events import Event


def test_what_is_kept_is_read_again_by_its_part(tmp_path: Path) -> None:
    turned = torch.arange(6.0).reshape(2, 3).T
    keep({"text.a": turned, "unet.a": torch.ones(2)}, tmp_path / "base.safetensors")
    assert torch.equal(kept(tmp_path / "base.safetensors", "text.")["a"], turned)
    assert list(kept(tmp_path / "base.safetensors", "unet.")) == ["a"]


@pytest.mark.parametrize("bytes_left", [0, 4, 40, -1])
def test_a_file_that_was_cut_is_not_finished(tmp_path: Path, bytes_left: int) -> None:
    path = tmp_path / "reader.safetensors"
    keep({"weights": torch.ones(1000)}, path)
    assert is_whole(path)
    path.write_bytes(path.read_bytes()[:bytes_left])
    assert not is_whole(path)
    assert not is_whole(tmp_path / "none.safetensors")


def test_scenes_count_only_where_every_file_is_whole(tmp_path: Path) -> None:
    _create(tmp_path, 3)
    (tmp_path / "captions.json").write_text('["a", "b", "c"]')
    found = _rendered(tmp_path, 3)
    assert found is not None
    assert found.rgb.shape == (3, 128, 128, 3)
    assert _rendered(tmp_path, 4) is None
    (tmp_path / "captions.json").write_text('["a", "b"')
    assert _rendered(tmp_path, 3) is None
    (tmp_path / "captions.json").write_text('["a", "b", "c"]')
    np.save(tmp_path / "joints.npy", np.zeros((3, 18), np.float32))
    assert _rendered(tmp_path, 3) is None
    _create(tmp_path, 3)
    with (tmp_path / "depth.npy").open("r+b") as file:
        file.truncate(1000)
    assert _rendered(tmp_path, 3) is None


def test_a_work_folder_belongs_to_one_recipe_and_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    monkeypatch.setattr(build, "_train", lambda *given: trained.append(given))
    monkeypatch.setattr(build, "collect", lambda *given: None)
    out, work = tmp_path / "out", tmp_path / "work"
    for _ in range(2):
        build.build(out, work, print_progress, build.RECIPE.shorter(0.01))
    assert len(trained) == 2
    with pytest.raises(UserError, match="holds the work of another recipe"):
        build.build(out, work, print_progress)
    with working_in(work, "making the demo model"), pytest.raises(UserError, match="another proc"):
        build.build(out, work, print_progress, build.RECIPE.shorter(0.01))
    assert len(trained) == 2


def test_where_the_weights_go_is_looked_at_first(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="no folder"):
        build.build(tmp_path / "file" / "out", tmp_path / "work", print_progress)
    assert not (tmp_path / "work").exists()


def test_half_a_stage_is_none() -> None:
    """Also where the loop ended in peace, as after Ctrl-C: or it would count as finished."""

    class Stopped:
        stopped = True

        def run(self) -> Iterator[Event]:
            yield from ()

    with pytest.raises(KeyboardInterrupt):
        finish(Stopped(), print)


def test_a_data_folder_is_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("controlstack.demo.training_folder.caption", stop)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "data", 3, "canny")
    assert list(tmp_path.iterdir()) == []
