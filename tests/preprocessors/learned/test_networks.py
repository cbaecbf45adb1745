"""Files of weights: every form that is published loads, and everything else is refused in words."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from controlstack.ground.errors import UserError
from controlstack.model_files.filling import fill
from controlstack.preprocessors.learned.networks import annotators, blank, load_state, seems
from tests.annotator_files import FILES, network, random_state

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def _legacy(state: Any, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


SAVERS: dict[str, Callable[[dict[str, Tensor], Path], Any]] = {
    "safetensors": save_file,
    "zip": torch.save,
    "before torch 1.6": _legacy,
    "a training run's": lambda state, path: torch.save(
        {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, path
    ),
    "in model": lambda state, path: torch.save({"model": state}, path),
    "from two GPUs": lambda state, path: torch.save(
        {f"module.{name}": value for name, value in state.items()}, path
    ),
}


@pytest.mark.parametrize("saver", SAVERS.values(), ids=SAVERS.keys())
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_content_decides_how_a_file_is_read(
    saver: Callable[..., Any], suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"weights{suffix}"
    saver(STATE, path)
    loaded = load_state(path)
    assert list(loaded) == list(STATE) or set(loaded) == set(STATE)
    for name, value in STATE.items():
        assert torch.equal(loaded[name], value)


class _Payload:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"echo ran > {self.proof}",)


@pytest.mark.parametrize("save", [torch.save, _legacy], ids=["zip", "before torch 1.6"])
def test_a_pickle_with_code_is_refused_and_nothing_runs(
    save: Callable[..., Any], tmp_path: Path
) -> None:
    path, proof = tmp_path / "evil.pth", tmp_path / "proof"
    save({**STATE, "x": _Payload(proof)}, path)
    with pytest.raises(UserError, match=r"evil\.pth is a pickle with more than weights.*refused"):
        load_state(path)
    assert not proof.exists()


def test_a_pickled_network_is_refused_with_its_class(tmp_path: Path) -> None:
    path = tmp_path / "whole.pth"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(UserError, match=r"more than weights in it \(torch\.nn\.modules\.linear"):
        load_state(path)


@pytest.mark.parametrize("saver", ["safetensors", "zip", "before torch 1.6"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_named(saver: str, part: float, tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    SAVERS[saver]({"a": torch.zeros(100, 100)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    said = "is cut off: its header announces" if saver == "safetensors" else "is cut off or damaged"
    with pytest.raises(UserError, match=rf"cut\.pth {said}.*fetch it again"):
        load_state(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is no file of weights"),
        (bytes(200), "is no file of weights"),
        (pickle.dumps({"a": 1}), "is no file of weights"),
    ],
)
def test_what_is_no_file_of_weights_is_said(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "netG.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"netG\.pth {words}.*fetch it again"):
        load_state(path)


def test_other_things_that_torch_can_save_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.pth"
    torch.save([torch.zeros(3)], path)
    with pytest.raises(UserError, match=r"list\.pth holds no tensors by name"):
        load_state(path)
    with pytest.warns(FutureWarning):
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)
    with pytest.raises(UserError, match=r"list\.pth is a TorchScript program"):
        load_state(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the model .*gone\.pth: No such file"):
        load_state(tmp_path / "gone.pth")
    with pytest.raises(UserError, match="is no regular file, but a folder"):
        load_state(tmp_path)


def test_a_network_is_filled_as_float32_in_eval_mode() -> None:
    state = {name: value.half() for name, value in STATE.items()}
    filled = fill(nn.ModuleDict({"a": nn.Linear(3, 2)}), state, Path("x.pth"), "X")
    assert not filled.training
    for name, value in filled.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, STATE[name])
    assert not any(parameter.requires_grad for parameter in filled.parameters())


@pytest.mark.parametrize("other", ["sk_model.pth", "netG.pth", "ControlNetHED.pth"])
def test_another_networks_file_is_told_from_its_names(other: str) -> None:
    state = random_state(other)
    with pytest.raises(
        UserError,
        match=rf"given\.pth does not hold TEED, it seems to be .*{other}.*"
        r"block_1\.conv1\.weight is missing, .* \[.*\] does not belong to it; put the published ",
    ):
        fill(network("7_model.pth"), state, Path("given.pth"), "TEED", seems(state))


@pytest.mark.parametrize("file", FILES)
def test_every_file_is_known_by_one_sign(file: str) -> None:
    known = seems(network(file).state_dict().keys())
    assert file in known
    assert known.count("(") == 1 + known.count("M-LSD (large)")


def test_a_wrong_shape_is_said_with_both_shapes() -> None:
    state = {**STATE, "a.bias": torch.ones(7)}
    with pytest.raises(UserError, match=r"X: a\.bias is \[7\] and has to be \[2\]; put the"):
        fill(nn.ModuleDict({"a": nn.Linear(3, 2)}), state, Path("x.pth"), "X")


def test_one_tensor_too_many_or_too_few_is_refused() -> None:
    module = nn.ModuleDict({"a": nn.Linear(3, 2)})
    with pytest.raises(UserError, match=r"b \[1\] does not belong to it; put the published "):
        fill(module, {**STATE, "b": torch.ones(1)}, Path("x.pth"), "X")
    with pytest.raises(UserError, match=r": a\.bias is missing; put the"):
        fill(module, {"a.weight": STATE["a.weight"]}, Path("x.pth"), "X")


def test_files_from_before_batches_were_counted_load() -> None:
    state = dict(nn.BatchNorm2d(3).state_dict())
    del state["num_batches_tracked"]
    filled = fill(blank(lambda: nn.BatchNorm2d(3)), state, Path("x.pth"), "X")
    assert torch.equal(filled(torch.ones(1, 3, 2, 2)), torch.ones(1, 3, 2, 2) / (1 + 1e-5) ** 0.5)


def test_building_a_network_leaves_the_random_state_and_the_output_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def make() -> nn.Module:
        print("Loading base model ...")
        return nn.Linear(100, 100)

    before = torch.random.get_rng_state()
    built = blank(make)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert capsys.readouterr().out == ""
    assert built.weight.device.type == "cpu"


IMPORT = """
import os
from controlstack.preprocessors.learned.networks import annotators
module = annotators("hed")
assert module.__name__ == "controlnet_aux.hed"
assert "KMP_DUPLICATE_LIB_OK" not in os.environ
"""


def test_the_library_is_imported_without_a_word_or_a_trace() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "KMP_DUPLICATE_LIB_OK"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A controlnet_aux of the test's own in place of the real one; its empty `__init__`."""
    for name in [name for name in sys.modules if name.split(".")[0] == "controlnet_aux"]:
        monkeypatch.delitem(sys.modules, name)
    package = tmp_path / "site" / "controlnet_aux"
    package.mkdir(parents=True)
    (package / "hed.py").touch()
    monkeypatch.syspath_prepend(package.parent)
    return package / "__init__.py"


def test_a_setting_of_the_users_comes_back(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library.write_text('import os\nos.environ["KMP_DUPLICATE_LIB_OK"] = "TRUE"\n')
    monkeypatch.setenv("KMP_DUPLICATE_LIB_OK", "FALSE")
    annotators("hed")
    assert os.environ["KMP_DUPLICATE_LIB_OK"] == "FALSE"


def test_a_library_that_cannot_be_imported_is_named_with_what_to_install(library: Path) -> None:
    library.write_text("raise AttributeError(\"module 'mediapipe' has no attribute 'solutions'\")")
    with pytest.raises(
        UserError,
        match=r"controlnet-aux, which cannot .*'solutions'.* -m pip install controlnet-aux$",
    ):
        annotators("hed")


def test_a_missing_library_is_named(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "controlnet_aux", None)
    with pytest.raises(UserError, match=r"needs controlnet-aux.* -m pip install controlnet-aux$"):
        annotators("hed")
