"""The texts reach the front end, also where the pack's folder has a name that it cuts short."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

import controlstack
from tests.comfyui.conftest import comfyui_path
from tests.comfyui.server import ROOT, Server, serving
from tools.node_texts import LOCALES, inputs

FOLDER = "my.control-stack_v1.0-rc.1@main"
NODES = list(controlstack.NODE_CLASS_MAPPINGS)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose only pack lies in a folder with dots, dashes and an @.

    No space, and no other letters than ASCII: there the nodes work, but aiohttp serves no files.
    """
    path = comfyui_path()
    assert path is not None
    with serving(path, tmp_path_factory.mktemp("odd"), FOLDER) as server:
        yield server


@pytest.fixture(scope="module")
def object_info(odd: Server) -> dict[str, Any]:
    answer = odd.get("/object_info")
    assert answer.status == 200
    info: dict[str, Any] = answer.json
    return info


@pytest.mark.parametrize("node_id", NODES)
@pytest.mark.parametrize("page", ["{}.md", "{}/zh.md"])
def test_help_pages_are_where_the_front_end_looks(
    odd: Server, object_info: dict[str, Any], node_id: str, page: str
) -> None:
    # ComfyUI_frontend, nodeHelpUtil.ts: the second part of the module's name, up to an "@".
    asked = object_info[node_id]["python_module"].split(".")[1].split("@")[0]
    answer = odd.get(f"/extensions/{asked}/docs/{page.format(node_id)}")
    assert answer.status == 200
    assert answer.kind != "text/html"  # which the front end takes for its own start page
    assert answer.body == (ROOT / "web" / "docs" / page.format(node_id)).read_bytes()
    for picture in re.findall(rb"!\[[^]]+\]\(([^)]+)\)", answer.body):
        assert odd.get(f"/extensions/{asked}/docs/{picture.decode()}").status == 200


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_locales_are_the_pack_s(odd: Server, language: str) -> None:
    served = odd.get("/i18n").json[language]
    for file in ("nodeDefs", "main"):
        ours = json.loads((LOCALES / language / f"{file}.json").read_text(encoding="utf-8"))
        assert ours.items() <= (served["nodeDefs"] if file == "nodeDefs" else served).items()


@pytest.mark.parametrize("node_id", NODES)
def test_every_text_of_a_node_is_told(object_info: dict[str, Any], node_id: str) -> None:
    node: Any = controlstack.NODE_CLASS_MAPPINGS[node_id]
    told = object_info[node_id]
    assert told["display_name"] == controlstack.NODE_DISPLAY_NAME_MAPPINGS[node_id]
    assert told["description"] == node.DESCRIPTION
    assert told["category"] == node.CATEGORY
    assert told["output_tooltips"] == list(node.OUTPUT_TOOLTIPS)
    # Hosts before search aliases leave them out.
    assert told.get("search_aliases", list(node.SEARCH_ALIASES)) == list(node.SEARCH_ALIASES)
    groups = told["input"]
    sent = {**groups.get("required", {}), **groups.get("optional", {})}
    # Of a node with rows the sockets of all rows are told, and the words of the first.
    assert [name for name in sent if name in inputs(node)] == list(inputs(node))
    further = [name for name in sent if name not in inputs(node)]
    assert all(name.rpartition("_")[0] + "_1" in sent for name in further)
    for name, (_, options) in inputs(node).items():
        assert sent[name][1]["tooltip"] == options["tooltip"]


def test_templates_and_their_pictures_are_listed(odd: Server) -> None:
    shipped = {path.stem for path in (ROOT / "workflows").glob("*.json")}
    assert set(odd.get("/workflow_templates").json[FOLDER]) == shipped
    for name in shipped:
        for file in (f"{name}.json", f"{name}.jpg"):
            assert odd.get(f"/api/workflow_templates/{FOLDER}/{file}").status == 200
