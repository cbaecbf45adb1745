"""Hint networks in ComfyUI's keeping: loaded, counted, given back and let go as its own models are.

Without a GPU the processor is where ComfyUI computes, and where networks lie already: most tests
see what its own books say. torch's "meta" device stands in for a GPU where a test asks whether
every tensor goes there; none comes back from it. Moving real weights to a GPU and back is not seen.
"""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from controlstack.hosts import host
from controlstack.hosts.comfy import memory as host_memory
from controlstack.hosts.comfy.host import ComfyHost

META = torch.device("meta")


class Net(nn.Module):
    """What networks of others have and ComfyUI's own have not: weights beside its layers, buffers
    without weights, and a `device` that cannot be set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 8))
        self.layers = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.Linear(64, 4))
        self.register_buffer("scale", torch.tensor(2.0), persistent=False)
        self.eval().requires_grad_(False)

    @property
    def device(self) -> torch.device:
        return self.token.device

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layers(x + self.token) * self.scale
        return result


@pytest.fixture
def manager(comfy: ModuleType) -> Iterator[ModuleType]:
    """ComfyUI's memory manager with nothing loaded."""
    import comfy.model_management as manager

    manager.unload_all_models()
    yield manager
    manager.unload_all_models()


def place(*networks: nn.Module) -> torch.device:
    return ComfyHost().place(networks)


def loaded(manager: ModuleType, network: nn.Module) -> list[Any]:
    """ComfyUI's entries for `network`."""
    first = next(network.parameters())
    return [m for m in manager.current_loaded_models if next(m.model.model.parameters()) is first]


def size(network: nn.Module) -> int:
    return sum(t.nbytes for t in [*network.parameters(), *network.buffers()])


def test_placed_networks_are_loaded_models(manager: ModuleType) -> None:
    nets = [Net(), Net()]
    assert place(*nets) == manager.get_torch_device()
    for net in nets:
        [entry] = loaded(manager, net)
        assert entry.model_loaded_memory() == size(net)
        assert entry.model_memory() == size(net)
    assert len(manager.current_loaded_models) == 2


def test_a_network_that_is_placed_again_is_one_loaded_model(manager: ModuleType) -> None:
    net, other = Net(), Net()
    for _ in range(3):
        place(net)
        place(other, net)
    assert len(loaded(manager, net)) == len(loaded(manager, other)) == 1
    assert len(manager.current_loaded_models) == 2


def test_unloading_all_models_takes_them_and_placing_brings_them_back(manager: ModuleType) -> None:
    net, x = Net(), torch.randn(3, 8)
    before = net(x)
    place(net)
    [entry] = loaded(manager, net)
    handle = entry.model
    manager.unload_all_models()
    assert manager.current_loaded_models == []
    assert handle.loaded_size() == 0
    place(net)
    assert handle.loaded_size() == size(net)
    assert torch.equal(net(x), before)


def test_a_network_made_while_a_workflow_runs_is_given_back_after_it(manager: ModuleType) -> None:
    """ComfyUI runs nodes in inference mode, and frees memory outside it."""
    with torch.inference_mode():
        net = Net()
        place(net)
    manager.unload_all_models()
    with torch.inference_mode():
        place(net)
        assert net(torch.ones(1, 8)).shape == (1, 4)
    assert len(loaded(manager, net)) == 1


def test_freeing_memory_spares_only_what_is_asked_for(manager: ModuleType) -> None:
    kept, gone = Net(), Net()
    place(kept, gone)
    [keep] = loaded(manager, kept)
    manager.free_memory(1e30, manager.get_torch_device(), keep_loaded=[keep])
    assert loaded(manager, kept)
    assert not loaded(manager, gone)


def test_a_network_that_gave_back_a_part_is_whole_again_when_placed(
    manager: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = Net()
    place(net)
    [entry] = loaded(manager, net)
    monkeypatch.setattr(manager, "get_free_memory", lambda *a, **k: (0, 0) if k else 0)
    manager.free_memory(size(net) // 4, manager.get_torch_device())
    assert 0 < entry.model_loaded_memory() < size(net)
    place(net)
    assert entry.model_loaded_memory() == size(net)
    assert len(loaded(manager, net)) == 1


@contextmanager
def without_collector() -> Iterator[None]:
    """What is gone inside the block went by itself."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_a_network_goes_when_its_node_lets_go_of_it(
    manager: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    annotator = {"networks": [Net(), Net()]}
    place(*annotator["networks"])
    watched = [weakref.ref(net) for net in annotator["networks"]]
    watched += [weakref.ref(net.layers) for net in annotator["networks"]]
    with without_collector(), caplog.at_level(logging.INFO):
        del annotator
        assert [ref() for ref in watched] == [None] * 4
        assert manager.current_loaded_models == []
        manager.cleanup_models_gc()
    assert "leak" not in caplog.text
    assert len(host_memory._patchers) == 0


def test_a_network_that_was_given_back_goes_too(manager: ModuleType) -> None:
    net = Net()
    place(net)
    manager.unload_all_models()
    watched = weakref.ref(net.layers)
    with without_collector():
        del net
        assert watched() is None


def test_nothing_is_written_on_the_network_itself(manager: ModuleType) -> None:
    net = Net()
    before = set(vars(net))
    place(net)
    assert set(vars(net)) == before


def test_a_network_of_transformers(manager: ModuleType) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 1, 1]
    )
    net = transformers.SegformerModel(config).eval()
    with torch.inference_mode():
        before = net(torch.ones(1, 3, 32, 32)).last_hidden_state
        place(net)
        manager.unload_all_models()
        place(net)
        assert torch.equal(net(torch.ones(1, 3, 32, 32)).last_hidden_state, before)
    assert loaded(manager, net)


@pytest.mark.parametrize("state", ["NORMAL_VRAM", "LOW_VRAM", "NO_VRAM", "HIGH_VRAM"])
def test_a_network_goes_to_the_device_as_a_whole(
    manager: ModuleType, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """Also where ComfyUI would load but a part of its own models: nothing casts the rest here."""
    monkeypatch.setattr(manager, "get_torch_device", lambda: META)
    monkeypatch.setattr(manager, "get_free_memory", lambda *a, **k: (1, 1) if k else 1)
    monkeypatch.setattr(manager, "soft_empty_cache", lambda *a, **k: None)
    monkeypatch.setattr(manager, "vram_state", manager.VRAMState[state])
    monkeypatch.setattr(manager, "lowvram_available", True)
    net = Net()
    assert place(net) == META
    left = [name for name, t in [*net.named_parameters(), *net.named_buffers()] if t.device != META]
    assert left == []
    [entry] = manager.current_loaded_models
    if state != "NO_VRAM":  # there ComfyUI counts nothing as loaded
        assert entry.model_loaded_memory() == size(net)
    manager.current_loaded_models.clear()  # nothing comes back from "meta"


def test_a_bar_for_the_pictures_of_a_batch(comfy: ModuleType) -> None:
    import comfy.utils

    seen: list[tuple[int, int]] = []
    before = comfy.utils.PROGRESS_BAR_HOOK
    comfy.utils.set_progress_bar_global_hook(lambda now, total, *a, **k: seen.append((now, total)))
    try:
        with ComfyHost().steps(3, "Depth Hint") as bar:
            for _ in range(3):
                bar.advance()
    finally:
        comfy.utils.set_progress_bar_global_hook(before)
    assert seen[0] == (1, 3)
    assert seen[-1] == (3, 3)


def test_cancel_is_heeded_between_pictures(manager: ModuleType) -> None:
    with ComfyHost().steps(3, "Depth Hint") as bar:
        bar.advance()
        manager.interrupt_current_processing()
        with pytest.raises(manager.InterruptProcessingException):
            bar.advance()
    manager.throw_exception_if_processing_interrupted()  # it is spent


@pytest.fixture
def folders(comfy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """ComfyUI's folders, those of models and packs in `tmp_path`, as at its start."""
    import folder_paths

    known = {k: v for k, v in folder_paths.folder_names_and_paths.items() if k != "controlstack"}
    known["custom_nodes"] = ([str(tmp_path / "packs")], set())
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", known)
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path / "models"))
    monkeypatch.delenv("AUX_ANNOTATOR_CKPTS_PATH", raising=False)
    return folder_paths


def test_weights_lie_in_comfyuis_own_models_folder(folders: Any, tmp_path: Path) -> None:
    ours, depth = tmp_path / "models" / "controlstack", tmp_path / "models" / "depth"
    assert ComfyHost().places() == [ours, depth]
    assert ComfyHost().places() == [ours, depth], "asking again adds nothing"
    assert folders.get_folder_paths("controlstack") == [str(ours)]


def test_extra_paths_come_first(folders: Any, tmp_path: Path) -> None:
    """As extra_model_paths.yaml gives them, before any node is asked."""
    folders.add_model_folder_path("controlstack", str(tmp_path / "disk"))
    folders.add_model_folder_path("depth", str(tmp_path / "depths"))
    ours = tmp_path / "models" / "controlstack"
    assert ComfyHost().places() == [tmp_path / "disk", ours, tmp_path / "depths"]


def test_what_comfyui_controlnet_aux_fetched_is_found(
    folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ckpts = tmp_path / "packs" / "comfyui_controlnet_aux" / "ckpts"
    assert ckpts not in ComfyHost().places()
    ckpts.mkdir(parents=True)
    assert ComfyHost().places()[-1] == ckpts
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("AUX_ANNOTATOR_CKPTS_PATH", str(tmp_path / "elsewhere"))
    assert ComfyHost().places()[-2:] == [tmp_path / "elsewhere", ckpts]


def test_this_is_the_host_that_runs(comfy: ModuleType) -> None:
    assert host.is_running()
    assert isinstance(host.current(), ComfyHost)
