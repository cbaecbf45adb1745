"""What is in a file, read without its weights; test_inspect.py has the damaged files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from controlstack.model_files.files import is_pickle, read_contents
from controlstack.model_files.kinds import KINDS, kind_of

ONE = torch.zeros(1)


def test_shapes_are_read_without_the_weights(tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(2, 3), "b": torch.zeros(4, dtype=torch.float16)}
    save_file(tensors, tmp_path / "m.safetensors", {"made": "here"})
    torch.save(tensors, tmp_path / "m.pt")
    contents = read_contents(tmp_path / "m.safetensors")
    assert contents.shapes == {"a": (2, 3), "b": (4,)}
    assert contents.metadata == {"made": "here"}
    assert read_contents(tmp_path / "m.pt").shapes == contents.shapes


@pytest.mark.parametrize(
    ("pickled", "names"),
    [
        ({"state_dict": {"a": ONE}, "optimizer": {"b": ONE}}, {"a"}),
        ({"adapter": {"body.0.in_conv.weight": ONE}}, {"body.0.in_conv.weight"}),
        (
            {"ip_adapter": {"1.x": ONE}, "image_proj": {"y": ONE}},
            {"ip_adapter.1.x", "image_proj.y"},
        ),
        ({"a": ONE, "step": 3}, {"a"}),
    ],
)
def test_dictionaries_in_a_pickle_give_dotted_names(
    tmp_path: Path, pickled: dict[str, object], names: set[str]
) -> None:
    torch.save(pickled, tmp_path / "m.pt")
    assert set(read_contents(tmp_path / "m.pt").shapes) == names


def test_a_pickle_that_holds_itself(tmp_path: Path) -> None:
    endless: dict[str, object] = {"a": ONE, "b": 1}
    endless["self"] = endless
    torch.save(endless, tmp_path / "m.pt")
    assert "a" in read_contents(tmp_path / "m.pt").shapes


@pytest.mark.parametrize("old", [True, False])
def test_a_format_is_told_by_the_contents(tmp_path: Path, old: bool) -> None:
    torch.save({"a": ONE}, tmp_path / "m.safetensors", _use_new_zipfile_serialization=not old)
    assert is_pickle(tmp_path / "m.safetensors")
    assert read_contents(tmp_path / "m.safetensors").shapes == {"a": (1,)}
    save_file({"a": ONE}, tmp_path / "m.pt")
    assert not is_pickle(tmp_path / "m.pt")
    assert read_contents(tmp_path / "m.pt").shapes == {"a": (1,)}


def test_a_kind_says_what_loads_it_and_from_where() -> None:
    kind = kind_of(["lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight"])
    assert kind is KINDS["loras"]
    assert kind.place == "the node LoraLoader loads it, from the folder loras"
    assert kind_of(["nothing.known"]) is None
    assert kind_of([]) is None
