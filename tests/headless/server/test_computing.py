"""`serve --device --dtype`: networks compute as they do in `run`."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from controlstack.cli.app import app
from controlstack.headless.graph.model import Graph
from tests.comfyui import shipped
from tests.own_server import OwnServer, serving
from tests.workflows.names import WORKFLOWS

PICTURES = WORKFLOWS / "input"


def _pixels(own: OwnServer, graph: Graph) -> np.ndarray:
    run = own.run(graph)
    saving = shipped.only(graph, "SaveImage")
    (shown,) = (one for one in run.of("executed") if one["node"] == saving)
    return _array(own.picture(shown["output"]["images"][0]))


def _array(png: bytes) -> np.ndarray:
    with Image.open(BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.slow
def test_a_picture_in_halves_is_the_command_s(own: OwnServer, graph: Graph, tmp_path: Path) -> None:
    with serving(tmp_path, "--dtype", "bf16") as halves:
        picture = _pixels(halves, graph)
        (device,) = halves.get("/system_stats").json["devices"]

    file = tmp_path / "pose.json"
    file.write_text(json.dumps(graph.prompt()))
    asked = ["run", file, "--demo", "--dtype", "bf16", "--out", tmp_path, "--input", PICTURES]
    result = CliRunner().invoke(app, [str(one) for one in asked])
    assert result.exit_code == 0, result.output
    (name,) = [line for line in result.stdout.splitlines() if line.endswith(".png")]
    np.testing.assert_array_equal(picture, _array(Path(name).read_bytes()))
    assert (picture != _pixels(own, graph)).any()
    assert device["type"] == "cpu"
