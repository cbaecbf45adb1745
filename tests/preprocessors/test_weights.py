"""Where weights are found, in which order, and what is said where they are not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from controlstack.ground.errors import UserError
from controlstack.preprocessors.spec import Weights
from controlstack.preprocessors.weights import find, local_folders, missing

HED = Weights("hed", "lllyasviel/Annotators", ("ControlNetHED.pth",), "OpenRAIL", True, 29)
TWO = Weights("lines", "lllyasviel/Annotators", ("sk_model.pth", "sk_model2.pth"), "MIT", True, 34)
DEPTH = Weights(
    "depth_small",
    "depth-anything/Depth-Anything-V2-Small-hf",
    ("config.json", "model.safetensors"),
    "Apache-2.0",
    True,
    99,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put(*path: str | Path) -> Path:
    whole = Path(*path)
    whole.parent.mkdir(parents=True, exist_ok=True)
    whole.write_bytes(b"weights")
    return whole


def put_cached(cache: Path, repo: str, *files: str, commit: str = "c0ffee") -> Path:
    """Files as huggingface_hub keeps them: blobs, and links to them from a commit's snapshot."""
    base = cache / ("models--" + repo.replace("/", "--"))
    put(base, "refs", "main").write_text(commit)
    for number, file in enumerate(files):
        blob, link = put(base, "blobs", f"{commit}{number}"), base / "snapshots" / commit / file
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    return base / "snapshots" / commit


LAYOUTS = {
    "ours": "hed/ControlNetHED.pth",
    "comfyui_controlnet_aux's ckpts": "lllyasviel/Annotators/ControlNetHED.pth",
    "a clone of the repository": "Annotators/ControlNetHED.pth",
    "just the file": "ControlNetHED.pth",
}


@pytest.mark.parametrize("file", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_file_is_found_in_every_layout(tmp_path: Path, file: str) -> None:
    assert find(HED, [tmp_path / "a", tmp_path / "b"]) is None
    path = put(tmp_path / "b", file)
    assert find(HED, [tmp_path / "a", tmp_path / "b"]) == (path,)


def test_earlier_places_win_and_safetensors_before_pickles(tmp_path: Path) -> None:
    second = put(tmp_path, "b", "hed", "ControlNetHED.safetensors")
    assert find(HED, [tmp_path / "a", tmp_path / "b"]) == (second,)
    pickle = put(tmp_path, "a", "hed", "ControlNetHED.pth")
    assert find(HED, [tmp_path / "a", tmp_path / "b"]) == (pickle,)
    safe = put(tmp_path, "a", "hed", "ControlNetHED.safetensors")
    assert find(HED, [tmp_path / "a", tmp_path / "b"]) == (safe,)


def test_files_keep_their_order_and_may_lie_apart(tmp_path: Path, cache: Path) -> None:
    second = put(tmp_path, "ckpts", "lllyasviel", "Annotators", "sk_model2.pth")
    assert find(TWO, [tmp_path / "ckpts"]) is None, "one of two is not enough"
    first = put_cached(cache, TWO.repo, "sk_model.pth") / "sk_model.pth"
    assert find(TWO, [tmp_path / "ckpts"]) == (first, second)


def test_a_file_in_a_subfolder_of_its_repository_is_found_without_it(tmp_path: Path) -> None:
    anyline = replace(HED, name="anyline", files=("Anyline/MTEED.pth",))
    path = put(tmp_path, "anyline", "MTEED.pth")
    assert find(anyline, [tmp_path]) == (path,)
    whole = put(tmp_path, "anyline", "Anyline", "MTEED.pth")
    assert find(anyline, [tmp_path]) == (whole,)


@pytest.mark.parametrize("name", ["depth_small", DEPTH.repo, "Depth-Anything-V2-Small-hf"])
def test_a_folder_is_found_when_it_is_whole(tmp_path: Path, name: str) -> None:
    put(tmp_path, name, "config.json")
    assert find(DEPTH, [tmp_path]) is None
    put(tmp_path, name, "model.safetensors")
    assert find(DEPTH, [tmp_path]) == (tmp_path / name,)


def test_files_loose_in_a_place_are_no_folder(tmp_path: Path) -> None:
    """config.json and model.safetensors are everybody's names."""
    put(tmp_path, "config.json")
    put(tmp_path, "model.safetensors")
    assert find(DEPTH, [tmp_path]) is None


def test_a_pickle_is_as_good_as_its_safetensors_in_transformers_names(tmp_path: Path) -> None:
    old = replace(DEPTH, files=("config.json", "pytorch_model.bin"))
    put(tmp_path, "depth_small", "config.json")
    put(tmp_path, "depth_small", "model.safetensors")
    assert find(old, [tmp_path]) == (tmp_path / "depth_small",)


def test_the_hugging_face_cache_comes_last(tmp_path: Path, cache: Path) -> None:
    snapshot = put_cached(cache, DEPTH.repo, "config.json", "model.safetensors")
    put_cached(cache, HED.repo, "ControlNetHED.pth")
    assert find(DEPTH, [tmp_path]) == (snapshot,)
    assert find(HED, [tmp_path]) is not None
    own = put(tmp_path, "hed", "ControlNetHED.pth")
    assert find(HED, [tmp_path]) == (own,)


def test_a_cached_folder_is_found_when_it_is_whole(cache: Path) -> None:
    put_cached(cache, DEPTH.repo, "config.json")
    assert find(DEPTH, []) is None


def test_only_the_commit_that_the_cache_calls_main_counts(cache: Path) -> None:
    put_cached(cache, DEPTH.repo, "config.json", "model.safetensors", commit="0ld")
    put_cached(cache, DEPTH.repo, "config.json", commit="new")
    assert find(DEPTH, []) is None


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "C:/out", "..\\out", "a\0b"])
def test_names_never_leave_their_folder(tmp_path: Path, name: str) -> None:
    put(tmp_path, "out", "ControlNetHED.pth")
    for weights in (
        replace(HED, name=name),
        replace(HED, repo=name),
        replace(HED, files=(name,)),
        replace(DEPTH, name=name),
    ):
        with pytest.raises(UserError, match="names nothing inside"):
            find(weights, [tmp_path / "place"])


def test_what_is_missing_is_said_with_where_to_get_it_and_where_to_put_it(tmp_path: Path) -> None:
    said = str(missing(replace(HED, commercial=False), [tmp_path / "first", tmp_path / "second"]))
    assert said == (
        "ControlNetHED.pth of hed is not on this machine: get it from "
        "https://huggingface.co/lllyasviel/Annotators (29 MB, licence OpenRAIL, not for commercial "
        f"use) and put it into {tmp_path / 'first' / 'hed'}, or allow the download (download on "
        "the node, --download on the command line)."
    )


def test_only_missing_files_are_named(tmp_path: Path) -> None:
    three = replace(TWO, files=("a.pth", "b.pth", "c.pth"))
    assert str(missing(three, [tmp_path])).startswith("a.pth, b.pth and c.pth of lines are not")
    put(tmp_path, "b.pth")
    assert str(missing(three, [tmp_path])).startswith("a.pth and c.pth of lines are not")
    put(tmp_path, "a.pth")
    assert str(missing(three, [tmp_path])).startswith("c.pth of lines is not")


def test_where_to_put_it_is_where_it_is_found(tmp_path: Path) -> None:
    """The folder that the sentence names, and the names that it gives."""
    for weights in (HED, TWO, DEPTH):
        said = str(missing(weights, [tmp_path]))
        folder = tmp_path / weights.name
        assert str(folder) in said
        for file in weights.files:
            assert file in said
            put(folder, file)
        assert find(weights, [tmp_path]) is not None


def test_a_users_own_models_are_told_by_their_type(tmp_path: Path, cache: Path) -> None:
    for name, config in {
        "mine": {"model_type": "dpt"},
        "publisher/model": {"model_type": "zoedepth"},
        "other": {"model_type": "llama"},
        "list": [],
        "untold": {},
        "number": {"model_type": 7},
        ".download-x": {"model_type": "dpt"},
        "mine/inner": {"model_type": "dpt"},
        "a/b/c/too_deep": {"model_type": "dpt"},
    }.items():
        put(tmp_path, "one", name, "config.json").write_text(json.dumps(config))
    put(tmp_path, "one", "broken", "config.json").write_bytes(b"\xff{")
    put(tmp_path, "two", "mine", "config.json").write_text('{"model_type": "dpt"}')
    places = [tmp_path / "one", tmp_path / "two", tmp_path / "gone"]
    assert local_folders(places, ("dpt", "zoedepth")) == {
        "mine": tmp_path / "one" / "mine",
        "publisher/model": tmp_path / "one" / "publisher" / "model",
    }
    assert local_folders(places, ()) == {}


def test_links_in_a_users_folders_are_followed_and_end(tmp_path: Path) -> None:
    model = put(tmp_path, "elsewhere", "config.json")
    model.write_text('{"model_type": "dpt"}')
    place = tmp_path / "place"
    place.mkdir()
    (place / "linked").symlink_to(tmp_path / "elsewhere")
    (place / "loop").symlink_to(place)
    assert "linked" in local_folders([place], ("dpt",))
