"""What the front end keeps for its user: settings, saved workflows and others of its files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp import web

from ...ground.atomic import write_atomic, write_free
from ...ground.errors import UserError
from ...ground.log import log
from ...ground.wording import shown
from .. import folders
from .answers import Route, aside, json_of, nothing, object_of, refused, value_of
from .files import kind_of, sent
from .house import House

USER = "default"
SETTINGS = "comfy.settings.json"
STYLES = "user.css"
QUIET = {"Comfy.Notification.ShowVersionUpdates": False}
"""Settings until the user says otherwise: the page asks nobody outside for news of ComfyUI."""
UNMADE = {STYLES: "", "comfy.templates.json": "[]", "workflows/.index.json": "{}"}
"""What the front end asks for at every start though nobody has to have made it, as it is then."""


class UserFiles:
    """Answers for the user's folder."""

    def __init__(self, house: House) -> None:
        self._base = house.user / USER
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """All addresses of this room."""
        return [
            ("GET", "/users", self.users),
            ("POST", "/users", self.new_user),
            ("GET", "/settings", self.settings),
            ("POST", "/settings", self.change_settings),
            ("GET", "/settings/{name}", self.setting),
            ("POST", "/settings/{name}", self.change_setting),
            ("GET", "/userdata", self.names),
            ("GET", "/v2/userdata", self.entries),
            ("GET", "/userdata/{file}", self.read),
            ("GET", f"/{STYLES}", self.read),
            ("POST", "/userdata/{file}", self.write),
            ("DELETE", "/userdata/{file}", self.delete),
            ("POST", "/userdata/{file}/move/{dest}", self.move),
        ]

    async def users(self, request: Any) -> Any:
        """There is one, and his settings lie here."""
        return json_of({"storage": "server", "migrated": self._base.is_dir()})

    async def new_user(self, request: Any) -> Any:
        """Nobody else."""
        return refused("this server has one user; there are no others to add", 400)

    async def settings(self, request: Any) -> Any:
        """All of them."""
        return json_of(QUIET | await aside(self._settings))

    async def setting(self, request: Any) -> Any:
        """One of them; null where it was never set."""
        name = request.match_info["name"]
        return json_of((QUIET | await aside(self._settings)).get(name))

    async def change_settings(self, request: Any) -> Any:
        """Some are set."""
        await aside(self._set, await object_of(request))
        return nothing()

    async def change_setting(self, request: Any) -> Any:
        """One is set."""
        await aside(self._set, {request.match_info["name"]: await value_of(request)})
        return nothing()

    async def names(self, request: Any) -> Any:
        """The files of a folder; none of one that nobody has made yet."""
        query = request.query
        if not query.get("dir"):
            return refused("Directory not provided", 400)
        folder = self._path(query["dir"])
        deep, whole, split = (
            query.get(name, "").lower() == "true" for name in ("recurse", "full_info", "split")
        )

        def told(path: Path) -> Any:
            name = path.relative_to(folder).as_posix()
            if whole:
                return _about(path, folder)
            return [name, *name.split("/")] if split else name

        return json_of(await aside(lambda: [told(path) for path in _files(folder, deep)]))

    async def entries(self, request: Any) -> Any:
        """Files and folders below a folder, folders first."""
        asked = request.query.get("path", "")
        folder = self._path(asked) if asked.strip("/") else self._base
        if not folder.exists():
            return json_of([])
        if not folder.is_dir():
            return refused("Requested path is not a directory", 400)
        return json_of(await aside(self._entries, folder))

    async def read(self, request: Any) -> Any:
        """A file, never to be opened as a page."""
        name = request.match_info.get("file", STYLES)
        path = self._path(name)
        if not path.is_file():
            if name in UNMADE:
                return web.Response(text=UNMADE[name], content_type=kind_of(name))
            return refused(f"there is no file {shown(name)}", 404)
        if path == self._base / STYLES:
            return web.FileResponse(path, headers={"Content-Type": "text/css"})
        return sent(request, path, attached=True)

    async def write(self, request: Any) -> Any:
        """A file is written, whole or not at all; `overwrite=false` spares one that is there."""
        path = self._path(request.match_info["file"])
        data = await request.read()
        if not await aside(self._write, path, data, request.query.get("overwrite") != "false"):
            return refused("File already exists", 409)
        return self._told(request, path)

    async def delete(self, request: Any) -> Any:
        """A file goes."""
        path = self._path(request.match_info["file"])
        if not path.is_file():
            return refused(f"there is no file {shown(request.match_info['file'])}", 404)
        await aside(path.unlink)
        return nothing(204)

    async def move(self, request: Any) -> Any:
        """A file gets another name; `overwrite=false` spares one that has it."""
        source = self._path(request.match_info["file"])
        goal = self._path(request.match_info["dest"])
        if not source.is_file():
            return refused(f"there is no file {shown(request.match_info['file'])}", 404)
        if goal.exists() and (request.query.get("overwrite") == "false" or not goal.is_file()):
            return refused("File already exists", 409)
        goal.parent.mkdir(parents=True, exist_ok=True)
        await aside(source.replace, goal)
        return self._told(request, goal)

    def _path(self, name: str) -> Path:
        return folders.inside(self._base, name, "the file")

    def _told(self, request: Any, path: Path) -> Any:
        whole = request.query.get("full_info", "").lower() == "true"
        return json_of(
            _about(path, self._base) if whole else path.relative_to(self._base).as_posix()
        )

    def _write(self, path: Path, data: bytes, overwrite: bool) -> bool:
        """Whether the name was free, or did not have to be."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if overwrite:
            write_atomic(path, data)
            return True
        try:
            write_free([path], data)
        except UserError:
            if path.exists():
                return False
            raise
        return True

    def _settings(self) -> dict[str, Any]:
        """Those that were set. A file that is damaged is told of, and stays until one is set."""
        path = self._base / SETTINGS
        try:
            read = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except (OSError, ValueError) as error:
            log.warning("the settings %s cannot be read: %s", path, error)
            read = {}
        return read if isinstance(read, dict) else {}

    def _set(self, values: dict[str, Any]) -> None:
        with self._lock:
            now = {**self._settings(), **values}
            self._write(self._base / SETTINGS, json.dumps(now, indent=4).encode(), True)

    def _entries(self, folder: Path) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for path in sorted(folder.rglob("*")):
            about: dict[str, Any] = {
                "name": path.name,
                "path": path.relative_to(self._base).as_posix(),
                "type": "directory" if path.is_dir() else "file",
            }
            if path.is_file():
                status = path.stat()
                about |= {"size": status.st_size, "modified": status.st_mtime}
            found.append(about)
        found.sort(key=lambda one: (one["type"] != "directory", one["name"].lower()))
        return found


def _files(folder: Path, deep: bool) -> Iterator[Path]:
    """The files of a folder by name, hidden ones left out."""
    if folder.is_dir():
        for path in sorted(folder.rglob("*") if deep else folder.iterdir()):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if not hidden and path.is_file():
                yield path


def _about(path: Path, base: Path) -> dict[str, Any]:
    """A file's path in `base`, its bytes, and its times in milliseconds since 1970."""
    status = path.stat()
    return {
        "path": path.relative_to(base).as_posix(),
        "size": status.st_size,
        "modified": int(status.st_mtime * 1000),
        "created": int(status.st_ctime * 1000),
    }
