"""`controlstack sweep`: rows that run once, whatever stops them, and what is made of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from controlstack.demo.models import CONTROL_NETS
from controlstack.headless.graph.png_texts import read_texts
from tests.cli.prompts import WORKFLOWS, Prompt, Run
from tests.fake_cuda import fake_cuda

CANNY = WORKFLOWS / "canny.json"
ADD = "ControlStackAdd.strength"
QUICK = (
    *(CANNY, "--demo", "--set", "KSampler.steps=1"),
    *("--set", "EmptyLatentImage.width=64", "--set", "EmptyLatentImage.height=64"),
)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "sweep.jsonl").read_text().splitlines()]


def pixels(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(path))


def test_a_sweep_gives_the_pictures_that_run_gives(run: Run, folder: Path) -> None:
    swept = run("sweep", *QUICK, "--set", f"{ADD}=0.4,1", "--seed", "3..4", "--out", "s")
    assert swept.exit_code == 0, swept.stderr
    rows = lines(folder / "s")
    assert len(rows) == 4
    for row in rows:
        values = row["settings"]
        sets = ("--set", f"{ADD}={values[ADD]}", "--seed", values["seed"])
        single = run("run", *QUICK, *sets, "--out", f"r{row['row']}")
        assert single.exit_code == 0, single.stderr
        (picture,) = (folder / "s" / name for name in row["pictures"])
        assert np.array_equal(pixels(picture), pixels(folder / single.stdout.strip()))
        # The workflow inside is that of the row, as graph and as canvas.
        texts = read_texts(picture.read_bytes(), str(picture))
        prompt, canvas = json.loads(texts["prompt"]), json.loads(texts["workflow"])
        assert prompt["10"]["inputs"]["strength"] == values[ADD]
        drawn = {node["id"]: node for node in canvas["nodes"]}
        assert drawn[10]["widgets_values"][0] == values[ADD]
        assert drawn[12]["widgets_values"][0] == values["seed"]
    # Models, prompts, the latent, the picture, its scale, the hint and its preview once; Add and
    # Apply for each strength; sampling, decoding and saving for each row.
    assert sum(row["executed"] for row in rows) == 9 + 2 * 2 + 4 * 3
    assert "executions of nodes were saved" in swept.stderr
    # Edge F1 is that of the pictures, by the preprocessor that made the hint.
    assert all(row["fidelity"]["ControlStackAdd"]["found by"] == "canny" for row in rows)
    assert swept.stdout.startswith("Best: ControlStackAdd.strength ")
    for name in ("sweep.jsonl", "sweep.parquet", "sheet.png", "fidelity.png", "index.html"):
        assert (folder / "s" / name).is_file(), name
    table = parquet.read_table(folder / "s" / "sweep.parquet").to_pydict()
    assert table["row"] == [row["row"] for row in rows]
    assert table[ADD] == [row["settings"][ADD] for row in rows]
    figure = "ControlStackAdd: edge F1"
    assert table[figure] == [row["fidelity"]["ControlStackAdd"]["edge F1"] for row in rows]
    page = (folder / "s" / "index.html").read_text()
    assert all(row["pictures"][0] in page for row in rows)
    assert "http" not in page.replace("http-equiv", "")


def test_a_strangers_graph_is_swept_as_it_is_run(
    run: Run, folder: Path, api_form: Callable[[str], Prompt]
) -> None:
    """A LoRA, a hint whose network is not here, and a node of a pack that only looks on."""
    prompt = api_form("canny")
    (base,) = (key for key, node in prompt.items() if "ckpt_name" in node["inputs"])
    (save,) = (key for key, node in prompt.items() if node["class_type"] == "SaveImage")
    for node in prompt.values():
        for name, value in node["inputs"].items():
            if value in ([base, 0], [base, 1]):
                node["inputs"][name] = ["lora", value[1]]
        if node["class_type"] == "ControlStackCanny":
            node |= {"class_type": "ControlStackHed"}
            node["inputs"] = {
                n: v for n, v in node["inputs"].items() if n in ("image", "resolution", "latent")
            }
    prompt["lora"] = {
        "class_type": "LoraLoader",
        "inputs": {"model": [base, 0], "clip": [base, 1], "lora_name": "style.safetensors"}
        | dict.fromkeys(("strength_model", "strength_clip"), 1.0),
    }
    prompt["look"] = {
        "class_type": "Image Comparer (rgthree)",
        "inputs": {"image_a": prompt[save]["inputs"]["images"]},
    }
    (folder / "wf.json").write_text(json.dumps(prompt))
    asked = ("wf.json", *QUICK[1:], "--seed", "3", "--input", WORKFLOWS / "input")
    single = run("run", *asked, "--out", "r")
    assert single.exit_code == 0, single.stderr
    swept = run("sweep", *asked, "--no-fidelity", "--out", "s")
    assert swept.exit_code == 0, swept.stderr
    (row,) = lines(folder / "s")
    expected = pixels(folder / single.stdout.strip())
    assert np.array_equal(pixels(folder / "s" / row["pictures"][0]), expected)
    notes = [
        [line for line in one.stderr.splitlines() if line.startswith("Note: ")]
        for one in (single, swept)
    ]
    assert notes[0] == notes[1]
    for words in ("rgthree", "LoraLoader", "Canny Hint stands in", "demo models stand in for"):
        assert any(words in note for note in notes[0]), words
    gone = run("sweep", *asked, "--set", "LoraLoader.strength_model=0,1", "--out", "g")
    assert gone.exit_code == 2
    assert "node lora (LoraLoader) is bypassed" in gone.stderr


def test_a_sweep_goes_on_with_what_is_missing(run: Run, folder: Path) -> None:
    asked = (*QUICK, "--no-fidelity", "--out", "s")
    assert run("sweep", *asked, "--seed", "1..2").exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in (folder / "s/pictures").iterdir()}
    again = run("sweep", *asked, "--seed", "1..2")
    assert "no node ran" in again.stderr
    # A line that was cut off, a picture that is gone, and a row that is new.
    first, *others = (folder / "s/sweep.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "s/sweep.jsonl").write_bytes(b"".join([first, *others, first[:100]]))
    gone = json.loads(first)["pictures"][0]
    (folder / "s" / gone).unlink()
    wider = run("sweep", *asked, "--seed", "1..3")
    assert wider.exit_code == 0, wider.stderr
    assert "3 rows, 1 of them known before" in wider.stderr
    rows = lines(folder / "s")
    assert sorted(row["settings"]["seed"] for row in rows) == [1, 2, 3]
    kept = [path for path, when in before.items() if path.stat().st_mtime_ns == when]
    assert len(kept) == 1
    assert len(list((folder / "s/pictures").iterdir())) == 3
    # Another axis over a value that the workflow has: the same rows, by their new names.
    other = run("sweep", *asked, "--seed", "1..3", "--set", f"{ADD}=1")
    assert "no node ran" in other.stderr
    assert all(row["settings"][ADD] == 1.0 for row in lines(folder / "s"))


def test_a_failing_row_is_recorded_and_the_sweep_goes_on(run: Run, folder: Path) -> None:
    (folder / "in").mkdir()
    shutil.copy(WORKFLOWS / "input" / "controlstack_scene.png", folder / "in" / "b.png")
    (folder / "in" / "a.png").write_bytes(b"no picture")
    sets = ("--set", "LoadImage.image=in", "--out", "s")
    swept = run("sweep", *QUICK, *sets)
    assert swept.exit_code == 0, swept.stderr
    assert "2 rows, 1 failed" in swept.stderr
    failed, well = sorted(lines(folder / "s"), key=lambda row: row["error"] == "")
    assert failed["settings"]["LoadImage.image"] == "a.png"
    assert "node 6" in failed["error"]
    assert not failed["pictures"]
    assert well["pictures"]
    # It is tried again, and may be well by then.
    strict = run("sweep", *QUICK, *sets, "--strict")
    assert strict.exit_code == 2
    assert "Error: " in strict.stderr
    assert "a.png" in strict.stderr
    shutil.copy(folder / "in" / "b.png", folder / "in" / "a.png")
    mended = run("sweep", *QUICK, *sets)
    assert "failed" not in mended.stderr
    assert "1 of them known before" in mended.stderr


def test_a_dry_run_counts_and_writes_nothing(run: Run, folder: Path) -> None:
    asked = ("sweep", *QUICK, "--set", f"{ADD}=0,0.5,1", "--seed", "1..4", "--out", "s")
    result = run(*asked, "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "12 rows, 12 pictures" in result.stdout
    assert "8 net runs" in result.stdout  # one step each; at strength 0 none
    assert "in one process, from one measured row" in result.stdout
    assert not list(folder.iterdir())


def test_rows_are_computed_where_and_in_what_run_is(run: Run, folder: Path) -> None:
    """In halves, with a net of one's own: the pictures of `run`, and other rows than before."""
    net = shutil.copytree(CONTROL_NETS["depth"], folder / "mine")
    asked = ("--dtype", "bf16", "--control-net", net)
    single = run("run", *QUICK, "--seed", 3, *asked, "--out", "r")
    assert single.exit_code == 0, single.stderr
    plain = ("sweep", *QUICK, "--no-fidelity", "--seed", "3", "--out", "s")
    assert run(*plain).exit_code == 0
    swept = run(*plain, *asked)
    assert swept.exit_code == 0, swept.stderr
    # The rows of the last sweep come first.
    second, first = (pixels(folder / "s" / row["pictures"][0]) for row in lines(folder / "s"))
    expected = pixels(folder / single.stdout.strip())
    assert np.array_equal(second, expected)
    assert not np.array_equal(first, expected)
    assert "no node ran" in run(*plain, "--dtype", "fp32").stderr
    assert "no node ran" not in run(*plain, "--dtype", "fp16").stderr


def test_rows_on_another_device(run: Run, folder: Path) -> None:
    asked = ("sweep", *QUICK, "--no-fidelity", "--seed", "3", "--dtype", "fp32")
    with fake_cuda():
        there = run(*asked, "--device", "cuda", "--out", "there")
    assert there.exit_code == 0, there.stderr
    assert run(*asked, "--out", "here").exit_code == 0
    (one,), (other,) = (lines(folder / name) for name in ("there", "here"))
    assert one["pictures"] != other["pictures"]  # a row of its own, by its address
    pictures = [pixels(folder / "there" / one["pictures"][0])]
    pictures.append(pixels(folder / "here" / other["pictures"][0]))
    difference = np.abs(pictures[0].astype(int) - pictures[1].astype(int))
    assert difference.mean() < 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--device", "tpu"), "--device tpu is no device"),
        (("--device", "tpu", "--ray"), "--device tpu is no device"),
        (("--device", "cuda"), "sees no CUDA device here"),
        (("--device", "cuda:1", "--ray"), "Ray chooses a GPU for each process; write cuda"),
        (("--control-net", "nowhere"), "nowhere is not there"),
    ],
)
def test_devices_and_nets_that_are_none(
    run: Run, folder: Path, arguments: Sequence[str], words: str
) -> None:
    before = sorted(folder.rglob("*"))
    result = run("sweep", CANNY, "--demo", "--seed", "1", *arguments)
    assert result.exit_code == 2
    assert result.stderr.count("Error: ") == 1
    assert words in result.stderr
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "Add canny.strength=1"), "there is no node 'Add canny'"),
        (("--set", "ControlStackAdd.strengths=1"), "do you mean 'strength'?"),
        (("--set", "ControlStackAdd.strength="), "has no value"),
        (("--set", "LoadImage.image=empty"), "holds no file that ends in"),
        (("--zip", "10.strength=0,1", "--zip", "12.cfg=1,2,3"), "10.strength has 2 values"),
        (("--seed", "1..2000000"), "the range '1..2000000' has 2000000 numbers"),
        (("--seed", "1..1000", "--set", "12.cfg=1..2:1000"), "has 1000000 rows"),
        ((), "a sweep needs values"),
        (("--rows", "gone.csv"), "cannot read the description of a sweep gone.csv"),
        (("--seed", "1", "--out", "file"), "the folder for the sweep file is a file"),
        (("--seed", "1", "--out", "other"), "was not made by ControlStack"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    run: Run, folder: Path, arguments: Sequence[str], words: str
) -> None:
    (folder / "empty").mkdir()
    (folder / "file").touch()
    (folder / "other").mkdir()
    (folder / "other" / "sweep.jsonl").write_text("{}\n")
    before = sorted(folder.rglob("*"))
    result = run("sweep", CANNY, "--demo", *arguments)
    assert result.exit_code == 2
    assert result.stderr.count("Error: ") == 1
    assert words in result.stderr
    assert sorted(folder.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_is_stopped_leaves_whole_rows(run: Run, folder: Path, how: int) -> None:
    """Ctrl-C ends it within a step, with 130; a kill anywhere leaves nothing half written."""
    asked = [*map(str, QUICK), "--no-fidelity", "--seed", "1..40", "--out", "s"]
    program = [sys.executable, "-m", "controlstack.cli", "sweep", *asked]
    process = subprocess.Popen(program, stderr=subprocess.PIPE, env=os.environ)
    journal = folder / "s" / "sweep.jsonl"
    until = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 3):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    if how == signal.SIGINT:
        assert said.decode().splitlines()[-1] == "Stopped."
    rows = lines(folder / "s") if journal.read_bytes().endswith(b"\n") else []
    assert 3 <= len(rows) < 40
    for row in rows:
        pixels(folder / "s" / row["pictures"][0])
    rest = run("sweep", *asked)
    assert rest.exit_code == 0, rest.stderr
    rows = lines(folder / "s")
    assert sorted(row["settings"]["seed"] for row in rows) == list(range(1, 41))
    assert len(list((folder / "s" / "pictures").iterdir())) == 40
    assert not (folder / "s" / ".rows").exists()
