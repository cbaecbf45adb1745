"""What the embedded host answers to hint nodes, and that asking needs no host of another kind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from controlstack.ground import reporter as progress
from controlstack.headless import folders
from controlstack.headless.host import EmbeddedHost
from controlstack.hosts import host


def test_weights_lie_beside_the_other_models(tmp_path: Path) -> None:
    roots = (tmp_path / "first", tmp_path / "second")
    with folders.use(folders.Folders(roots, (), tmp_path, tmp_path)):
        assert EmbeddedHost().places() == [
            tmp_path / "first" / "controlstack",
            tmp_path / "second" / "controlstack",
            tmp_path / "first" / "depth",
            tmp_path / "second" / "depth",
        ]


def test_networks_compute_on_the_processor() -> None:
    net = nn.Linear(2, 2)
    assert EmbeddedHost().place([net]) == torch.device("cpu") == net.weight.device


def test_steps_go_to_whoever_listens() -> None:
    heard: list[str] = []

    class Listener:
        def stage(self, text: str) -> None:
            heard.append(text)

        def steps(self, total: int, text: str) -> AbstractContextManager[progress.Steps]:
            return self._steps(total, text)

        @contextmanager
        def _steps(self, total: int, text: str) -> Iterator[Listener]:
            heard.append(f"{text}: {total}")
            yield self

        def advance(self) -> None:
            heard.append("one more")

    with progress.report_to(Listener()), EmbeddedHost().steps(2, "Depth Hint") as bar:
        bar.advance()
    assert heard == ["Depth Hint: 2", "one more"]
    with EmbeddedHost().steps(2, "nobody listens") as bar:
        bar.advance()


def test_nodes_can_be_listed_without_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "folder_paths", raising=False)
    assert not host.is_running()
    assert host.names("controlnet") == []
    with host.use(EmbeddedHost()):
        assert host.is_running()
        assert isinstance(host.current(), EmbeddedHost)
    assert not host.is_running()


def test_controls_of_both_folders_are_listed_each_name_once(tmp_path: Path) -> None:
    for name in ("controlnet/b.pth", "controlnet/both.pth", "model_patches/a.pth"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "model_patches" / "both.pth").touch()
    assert host.control_names() == []
    used = folders.Folders((tmp_path,), (), tmp_path, tmp_path)
    with folders.use(used), host.use(EmbeddedHost()):
        assert host.control_names() == ["b.pth", "both.pth", "a.pth"]


def test_asking_for_the_host_imports_nothing_of_comfyui() -> None:
    words = (
        "import sys; from controlstack.hosts import host; from controlstack.headless.host import "
        "EmbeddedHost; host.use(EmbeddedHost()).__enter__().places(); "
        "print([m for m in sys.modules if m.split('.')[0] in ('comfy', 'folder_paths')], "
        "'controlstack.hosts.comfy' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert told.stdout.split("\n")[0] == "[] False"
