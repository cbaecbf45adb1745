"""Record what ComfyUI's front end sends for each graph of tests/workflows/canvas.

It is driven in headless Chromium: the file is opened, Run is called, and the request to the server
is kept instead of sent. `Math.random` is `RANDOM` meanwhile, so that choices can be compared.

COMFYUI_PATH=... python -m tools.record_canvas [NAME ...] [--pack FOLDER ...]

A pack's graphs (`PACKS`) are recorded where its folder is given, with its own JavaScript; those of
an older ComfyUI (`OLDER`) where they are named.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.comfyui import shipped
from tests.comfyui.browser import VUE_NODES, Page, browsing
from tests.comfyui.server import Server, serving
from tests.workflows.canvas.recorded import FOLDER, OLDER, PACKS, RANDOM, READ, recording_of

QUEUE = """
const [random, done] = arguments
const { api } = window.comfyAPI.api, send = api.queuePrompt, drawn = Math.random
let sent
api.queuePrompt = async (number, prompt) => {
  sent = prompt.output
  return { prompt_id: "recorded", number, node_errors: {} }
}
Math.random = () => random
const end = error => {
  api.queuePrompt = send
  Math.random = drawn
  done(JSON.stringify(sent === undefined ? { error: String(error) } : { prompt: sent }))
}
app.queuePrompt(0, 1).then(end, end)
"""


def main() -> None:
    """Write the recordings beside the graphs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="graphs; all of this ComfyUI where none is named")
    parser.add_argument("--pack", action="append", default=[], type=Path, help="a pack's folder")
    given = parser.parse_args()
    packs = {folder.name: folder.resolve() for folder in given.pack}
    every = sorted(path.stem for path in FOLDER.glob("*.json"))
    names = given.names or [name for name in every if name not in (*OLDER, *READ)]
    plain = [name for name in names if name not in PACKS]
    _record(plain, {})
    for pack, folder in packs.items():
        _record([name for name in names if PACKS.get(name) == pack], {pack: folder})
    for name in names:
        if name in PACKS and PACKS[name] not in packs:
            print(f"{name}: left as it is, it needs --pack .../{PACKS[name]}")


def _record(names: Sequence[str], packs: dict[str, Path]) -> None:
    """Record `names` in a server of their own; one pack must not change another's graphs."""
    if not names:
        return
    comfyui = Path(os.environ["COMFYUI_PATH"]).resolve()
    with tempfile.TemporaryDirectory() as base:
        shipped.write_files(Path(base))
        further = list(packs.values())
        with serving(comfyui, Path(base), further=further) as server, browsing() as page:
            _prepare(server)
            for name in names:
                page.open(server.url, "ControlStackAdd")
                _write(name, sent(page, name), sorted(packs))


def _prepare(server: Server) -> None:
    for setting, value in (("Comfy.TutorialCompleted", True), (VUE_NODES, False)):
        server.post(f"/settings/{setting}", value)


def sent(page: Page, name: str) -> dict[str, Any]:
    """The prompt that the front end on `page` sends for the graph `name`."""
    document = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    page.driver.execute_async_script(
        "const done = arguments[1]; app.loadGraphData(JSON.parse(arguments[0]))"
        ".then(() => setTimeout(done, 1500))",
        document,
    )
    answer = json.loads(page.driver.execute_async_script(QUEUE, RANDOM))
    for said in page.complaints(name):
        print(f"{name}: {said}")
    if "error" in answer:
        raise SystemExit(f"{name}: the front end sent nothing: {answer['error']}")
    prompt: dict[str, Any] = answer["prompt"]
    return prompt


def _write(name: str, prompt: dict[str, Any], packs: Sequence[str]) -> None:
    lines = [f'    "{key}": {json.dumps(node, ensure_ascii=False)}' for key, node in prompt.items()]
    by = {"front_end": version("comfyui_frontend_package"), "packs": list(packs)}
    text = f'{{\n  "by": {json.dumps(by)},\n  "prompt": {{\n' + ",\n".join(lines) + "\n  }\n}\n"
    recording_of(name).write_text(text, encoding="utf-8")
    print(f"{name}: {len(prompt)} nodes")


if __name__ == "__main__":
    main()
