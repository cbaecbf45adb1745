"""ComfyUI's own front end, as it was installed: its page and files. None of it is ours."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aiohttp import web

from ...ground.errors import UserError
from .answers import Route

PACKAGE = "comfyui_frontend_package"
PAGE = "index.html"


def installed() -> Path:
    """The folder `static` of the front end that is installed. Raises UserError without one."""
    spec = find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise UserError(
            "ComfyUI's front end is not installed: pip install 'controlstack[serve]', or "
            "comfyui-frontend-package alone"
        )
    return require(Path(places[0], "static"))


def require(folder: Path) -> Path:
    """`folder`, which holds a front end; UserError where it holds none."""
    if not (folder / PAGE).is_file():
        raise UserError(
            f"there is no front end in {folder}: name the folder `static` of "
            f"comfyui-frontend-package, in which {PAGE} lies"
        )
    return folder


def version(folder: Path) -> str | None:
    """The version of the front end in `folder`, by what pip wrote beside its package."""
    for info in folder.parent.parent.glob(f"{PACKAGE}-*.dist-info"):
        return info.name.removeprefix(f"{PACKAGE}-").removesuffix(".dist-info")
    return None


class FrontEnd:
    """Answers with the page. Its other files are static ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def routes(self) -> list[Route]:
        """All addresses of this room."""
        return [("GET", "/", self.page)]

    def static(self) -> Any:
        """Everything else that lies in the folder."""
        return web.static("/", self._folder)

    async def page(self, request: Any) -> Any:
        """The page, never kept by the browser: it names files of this version."""
        headers = {"Cache-Control": "no-store, must-revalidate"}
        return web.FileResponse(self._folder / PAGE, headers=headers)

    @property
    def extensions(self) -> list[str]:
        """The scripts that it brings as extensions of its own."""
        found = sorted((self._folder / "extensions").rglob("*.js"))
        return [f"/{path.relative_to(self._folder).as_posix()}" for path in found]
