"""The pack's own web files, texts, help pages, templates and blueprints, at ComfyUI's addresses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from aiohttp import web

from ...ground.errors import UserError
from ...hosts.comfy.routes import handler
from ...nodes.routes import ROUTES, Answer
from .. import folders
from ..graph.workflow import load_workflow
from .answers import Handler, Route, aside, json_of, refused
from .front_end import FrontEnd
from .house import PACK, PACK_NAME, House

WEB, WORKFLOWS, SUBGRAPHS, LOCALES = (
    PACK / name for name in ("web", "workflows", "subgraphs", "locales")
)
FIRST = "Getting Started"
"""The category of templates that the front end opens for who comes for the first time."""


class Pack:
    """Answers for what the pack brings beside its nodes."""

    def __init__(self, house: House, front_end: FrontEnd) -> None:
        self._house, self._front_end = house, front_end

    def routes(self) -> list[Route]:
        """All addresses of this room, and those that the pack has in ComfyUI's server too."""
        own: list[Route] = [("POST", path, self._asked(ROUTES[path])) for path in ROUTES]
        return [
            *own,
            ("GET", "/extensions", self.extensions),
            ("GET", f"/extensions/{PACK_NAME}/docs/{{node}}/{{language}}.md", self.help),
            ("GET", f"/extensions/{PACK_NAME}/{{name:.+}}", self.web_file),
            ("GET", "/docs/{node}/{language}.md", self.core_help),
            ("GET", "/i18n", self.texts),
            ("GET", "/workflow_templates", self.templates),
            ("GET", f"/workflow_templates/{PACK_NAME}/{{name}}", self.template_file),
            ("GET", "/templates/{name}", self.core_template_file),
            ("GET", "/global_subgraphs", self.blueprints),
            ("GET", "/global_subgraphs/{key}", self.blueprint),
        ]

    def _asked(self, answer: Answer) -> Handler:
        """The pack's own route, by the code that answers in ComfyUI."""
        answering = handler(answer)

        async def asked(request: Any) -> Any:
            with self._house.open():
                return await answering(request)

        return asked

    async def extensions(self, request: Any) -> Any:
        """Every script that the page loads."""
        ours = sorted(WEB.rglob("*.js"))
        named = [f"/extensions/{PACK_NAME}/{path.relative_to(WEB).as_posix()}" for path in ours]
        return json_of([*self._front_end.extensions, *named])

    async def web_file(self, request: Any) -> Any:
        """A file of the pack's `web`."""
        return _file(WEB, request.match_info["name"])

    async def help(self, request: Any) -> Any:
        """A node's help page in a language, or else in English."""
        node, language = request.match_info["node"], request.match_info["language"]
        path = folders.inside(WEB / "docs", f"{node}/{language}.md", "the page")
        return _file(WEB, f"docs/{node}/{language}.md" if path.is_file() else f"docs/{node}.md")

    async def core_help(self, request: Any) -> Any:
        """What this host's node says of itself."""
        node = request.match_info["node"]
        cls = self._house.registry.class_of(node)
        if cls is None:
            return refused(f"there is no node {node!r}", 404)
        words = getattr(cls, "DESCRIPTION", "") or cls.__doc__ or ""
        return web.Response(text=f"# {node}\n\n{words}\n", content_type="text/markdown")

    async def texts(self, request: Any) -> Any:
        """The nodes' texts by language."""
        return json_of(_texts())

    async def templates(self, request: Any) -> Any:
        """The names of the pack's templates."""
        return json_of({PACK_NAME: [path.stem for path in await aside(lambda: self._runnable)]})

    async def template_file(self, request: Any) -> Any:
        """A template, or its picture."""
        return _file(WORKFLOWS, request.match_info["name"])

    async def core_template_file(self, request: Any) -> Any:
        """In the place of ComfyUI's templates, which ask for more than this host has: the pack's
        that run here, and their pictures.
        """
        name = request.match_info["name"]
        if name.startswith("index_logo"):
            return json_of({})
        if name.startswith("index"):
            return json_of(await aside(self._index) if name.count(".") == 1 else [])
        return _file(WORKFLOWS, name.replace("-1.jpg", ".jpg"))

    async def blueprints(self, request: Any) -> Any:
        """The subgraphs that can be put into a workflow."""
        return json_of({key: _blueprint(path) for key, path in _subgraphs().items()})

    async def blueprint(self, request: Any) -> Any:
        """One of them, whole."""
        path = _subgraphs().get(request.match_info["key"])
        if path is None:
            return refused("there is no such blueprint", 404)
        text = await aside(lambda: path.read_text(encoding="utf-8"))
        return json_of({**_blueprint(path), "data": text})

    @cached_property
    def _runnable(self) -> list[Path]:
        """The templates that run here; both change only with the program."""
        return [path for path in sorted(WORKFLOWS.glob("*.json")) if self._runs(path)]

    def _runs(self, path: Path) -> bool:
        try:
            graph = load_workflow(path, self._house.registry)
        except UserError:
            return False
        return all(node.type in self._house.registry for node in graph.nodes.values())

    def _index(self) -> list[dict[str, Any]]:
        cards = [
            {
                "name": path.stem,
                "title": path.stem.replace("_", " ").capitalize(),
                "mediaType": "image",
                "mediaSubtype": "jpg",
                "description": "",
            }
            for path in self._runnable
        ]
        shelf = {"moduleName": "default", "title": FIRST, "type": "image", "isEssential": True}
        return [{**shelf, "templates": cards}]


def _file(base: Path, name: str) -> Any:
    """A file of the pack, as it is: its scripts are to run."""
    path = folders.inside(base, name, "the file")
    return web.FileResponse(path) if path.is_file() else refused(f"there is no {name}", 404)


def _subgraphs() -> Mapping[str, Path]:
    found = sorted(SUBGRAPHS.glob("*.json"))
    return {hashlib.sha256(path.name.encode()).hexdigest(): path for path in found}


def _blueprint(path: Path) -> dict[str, Any]:
    pack = {"node_pack": f"custom_nodes.{PACK_NAME}"}
    return {"source": "custom_node", "name": path.stem, "info": pack}


@cache
def _texts() -> dict[str, dict[str, Any]]:
    """`main.json` of each language, with its other files under their names."""
    found: dict[str, dict[str, Any]] = {}
    for folder in sorted(LOCALES.iterdir()):
        if folder.is_dir():
            texts = found.setdefault(folder.name, {})
            for path in sorted(folder.glob("*.json"), key=lambda path: path.stem != "main"):
                read = json.loads(path.read_text(encoding="utf-8"))
                texts |= read if path.stem == "main" else {path.stem: read}
    return found
