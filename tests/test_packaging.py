"""What ComfyUI's registry and installers are given: the facts, the files, and nothing spare."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from PIL import Image

import controlstack
from controlstack.preprocessors.registry import SHIPPED
from tests.checkout import ROOT, comfy_cli, comfy_node, fresh_repository

tomllib = pytest.importorskip("tomllib")
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMFY: dict[str, str] = PYPROJECT["tool"]["comfy"]
NEEDED = (
    "__init__.py",
    "node_list.json",
    "pyproject.toml",
    "requirements.txt",
    "LICENSE",
    "README.md",
)
FOLDERS = (
    *("nodes/", "model_patch/", "preprocessors/"),
    *("workflows/", "subgraphs/", "web/", "locales/"),
)
SPARE = ("tests/", "tools/", "benchmarks/", "demo/weights/", ".ci/", ".git", "Makefile")
SCRIPTS = (
    *("colours.js", "convert.js", "convert_graph.mjs", "hint_prompt.js", "hint_run.js"),
    *("pose.mjs", "pose_editor.mjs", "pose_node.js", "rows.js"),
    *("rows_details.mjs", "rows_points.mjs", "rows_timeline.mjs"),
    *("rows_value.js", "rows_view.js", "rows_words.js"),
    *("sentences.js", "slots.js", "toasts.js"),
)
LARGEST_ARCHIVE = 2_000_000
"""Bytes, but for the weights that ship with the pack."""
WEIGHTS, LARGEST_WEIGHTS = "preprocessors/mediapipe/weights/", 12_000_000

IMPORT_AS_COMFYUI_DOES = """
import importlib.util, json, sys
name = sys.argv[1].replace(".", "_x_")
spec = importlib.util.spec_from_file_location(name, sys.argv[1] + "/__init__.py")
pack = importlib.util.module_from_spec(spec)
sys.modules[name] = pack
spec.loader.exec_module(pack)
print(json.dumps([sorted(pack.NODE_CLASS_MAPPINGS), pack.WEB_DIRECTORY]))
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of the pack, for `comfy node`."""
    return fresh_repository(tmp_path_factory.mktemp("packed") / "controlstack")


needs_comfy_cli = pytest.mark.skipif(comfy_cli() is None, reason="comfy-cli is not installed")


def _picture(url: str) -> tuple[int, int]:
    """The size of the picture at a raw address of this repository's main branch."""
    repository = PYPROJECT["project"]["urls"]["Repository"]
    raw = repository.replace("https://github.com/", "https://raw.githubusercontent.com/")
    assert url.startswith(f"{raw}/main/")
    with Image.open(ROOT / url.removeprefix(f"{raw}/main/")) as picture:
        return picture.size


def test_the_registry_s_rules_are_kept() -> None:
    # https://docs.comfy.org/registry/specifications
    assert "comfyui" not in PYPROJECT["project"]["name"]
    assert len(PYPROJECT["project"]["name"]) < 100
    assert COMFY["PublisherId"]
    assert "ComfyUI" not in COMFY["DisplayName"]
    assert COMFY["requires-comfyui"].startswith(">=")
    assert "Operating System :: OS Independent" in PYPROJECT["project"]["classifiers"]
    width, height = _picture(COMFY["Icon"])
    assert width == height <= 400
    width, height = _picture(COMFY["Banner"])
    assert width * 9 == height * 21


def test_every_package_is_listed() -> None:
    folders = {
        path.parent.relative_to(ROOT)
        for path in ROOT.glob("*/**/__init__.py")
        if not path.relative_to(ROOT).parts[0].startswith((".", "tests", "build"))
    }
    listed = {".".join(("controlstack", *folder.parts)) for folder in folders} | {"controlstack"}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == listed


def test_comfyui_manager_finds_our_nodes_and_no_others() -> None:
    # Its scanner.py reads node_list.json, and in the source dicts assigned, without a type, to
    # names that end so: that is how a workflow's missing nodes lead to their pack.
    tables = (
        table
        for path in ROOT.glob("[!.]*/**/*.py")
        for table in re.findall(r"_CLASS_MAPPINGS\s*=\s*{([^}]*)}", path.read_text("utf-8"))
    )
    found = {node_id for table in tables for node_id in re.findall(r'"(\w+)"\s*:', table)}
    listed = json.loads((ROOT / "node_list.json").read_text("utf-8")).keys()
    assert not found & listed
    assert found | listed == set(controlstack.NODE_CLASS_MAPPINGS)


@pytest.mark.parametrize("path", sorted((ROOT / "workflows").glob("*.json")), ids=lambda p: p.stem)
def test_a_workflow_says_which_pack_its_nodes_are_from(path: Path) -> None:
    # Where a node is missing, ComfyUI offers the pack of this id.
    nodes = json.loads(path.read_text(encoding="utf-8"))["nodes"]
    ours = [node for node in nodes if node["type"] in controlstack.NODE_CLASS_MAPPINGS]
    assert ours
    assert {node["properties"]["cnr_id"] for node in ours} == {PYPROJECT["project"]["name"]}


def test_comfyui_s_installers_are_given_a_part_of_the_dependencies() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    asked = [line for line in lines if line and not line.startswith("#")]
    assert asked
    assert set(asked) <= set(PYPROJECT["project"]["dependencies"])


def test_ci_s_versions_are_versions_that_we_allow() -> None:
    lines = (ROOT / "tools" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    fixed = dict(line.split("==") for line in lines if not line.startswith("#"))
    extras = PYPROJECT["project"]["optional-dependencies"]
    asked = [*PYPROJECT["project"]["dependencies"]]
    asked += [line for extra in ("headless", "train", "evaluate", "dev") for line in extras[extra]]
    for one in map(Requirement, asked):
        if one.name not in ("controlstack", "tomli"):  # tomli is for Python 3.10
            assert one.specifier.contains(fixed[one.name.lower()]), one


@needs_comfy_cli
def test_comfy_node_validate_has_nothing_to_say(repository: Path) -> None:
    said = comfy_node("validate", repository)
    assert "All validation checks passed" in said
    assert "warning" not in said.lower()


@needs_comfy_cli
def test_comfy_node_pack_makes_an_archive_that_loads(repository: Path, tmp_path: Path) -> None:
    said = comfy_node("pack", repository)
    assert "warning" not in said.lower()
    archive = repository / "node.zip"
    print(f"\nnode.zip: {archive.stat().st_size / 1e6:.2f} MB")
    unpacked = tmp_path / "control stack.1-0"
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        parts = [one for one in packed.infolist() if one.filename.startswith(WEIGHTS)]
        packed.extractall(unpacked)
    assert archive.stat().st_size - sum(one.compress_size for one in parts) < LARGEST_ARCHIVE
    assert sum(one.file_size for one in parts) <= LARGEST_WEIGHTS
    assert {Path(one.filename).suffix for one in parts} == {".safetensors", ".md", ""}
    assert set(NEEDED) <= set(names)
    assert all(any(name.startswith(folder) for name in names) for folder in FOLDERS)
    assert not [name for name in names if name.startswith(SPARE)]
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_AS_COMFYUI_DOES, str(unpacked)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    nodes, web = json.loads(run.stdout)
    assert nodes == sorted(controlstack.NODE_CLASS_MAPPINGS)
    assert (unpacked / web / "docs").is_dir()
    assert {path.name for path in (unpacked / web).rglob("*.*js")} == set(SCRIPTS)


def test_an_installed_package_has_the_weights_that_ship() -> None:
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"][
        "controlstack.preprocessors.mediapipe"
    ]
    room = ROOT / "preprocessors" / "mediapipe"
    packed = {path for pattern in patterns for path in room.glob(pattern)}
    shipped = [weights for entry in SHIPPED for weights in entry.learning.models]  # type: ignore[union-attr]
    assert {weights.shipped / file for weights in shipped for file in weights.files} <= {  # type: ignore[operator]
        Path(controlstack.__file__).parent / path.relative_to(ROOT) for path in packed
    }
    assert room / "weights" / "LICENSE" in packed


def test_an_installed_package_has_the_front_end_s_scripts() -> None:
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["controlstack"]
    packed = {path.name for pattern in patterns for path in ROOT.glob(pattern)}
    assert packed >= set(SCRIPTS)
