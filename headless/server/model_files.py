"""Which model files there are, by kind, as the front end's lists ask for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...ground.names import inner_name
from ...model_files.files import SAFETENSORS_SUFFIXES, read_contents
from ...preprocessors.picture_files import first_frame
from .. import folders
from .answers import Route, aside, json_of, nothing, refused
from .files import sent
from .house import House

PICTURES = (".webp", ".png", ".jpg", ".jpeg")


class ModelFiles:
    """Answers for the folders of models."""

    def __init__(self, house: House) -> None:
        self._house = house

    def routes(self) -> list[Route]:
        """All addresses of this room."""
        return [
            ("GET", "/models", self.kinds),
            ("GET", "/models/{kind}", self.names),
            ("GET", "/embeddings", self.embeddings),
            ("GET", "/experiment/models", self.folders),
            ("GET", "/experiment/models/{kind}", self.files),
            ("GET", "/experiment/models/preview/{kind}/{index}/{name:.+}", self.preview),
            ("GET", "/view_metadata/{kind}", self.metadata),
            ("GET", "/internal/folder_paths", self.paths),
        ]

    async def kinds(self, request: Any) -> Any:
        """The kinds of models."""
        return json_of(list(folders.KINDS))

    async def names(self, request: Any) -> Any:
        """The models of one kind, by the names that nodes take."""
        kind = request.match_info["kind"]
        if kind not in folders.KINDS:
            return refused(f"there is no folder of models {kind!r}", 404)
        with self._house.open():
            return json_of(await aside(folders.names, kind))

    async def embeddings(self, request: Any) -> Any:
        """Words that prompts may hold, by name."""
        with self._house.open():
            found = await aside(folders.names, "embeddings")
        return json_of([str(Path(name).with_suffix("")) for name in found])

    async def folders(self, request: Any) -> Any:
        """The kinds of models with their folders."""
        endings = sorted(folders.MODEL_SUFFIXES)
        with self._house.open():
            return json_of(
                [
                    {"name": kind, "folders": list(map(str, bases)), "extensions": endings}
                    for kind, bases in _bases()
                ]
            )

    async def paths(self, request: Any) -> Any:
        """The folders of each kind."""
        with self._house.open():
            return json_of({kind: list(map(str, bases)) for kind, bases in _bases()})

    async def files(self, request: Any) -> Any:
        """The models of one kind, with their sizes and times."""
        kind = request.match_info["kind"]
        if kind not in folders.KINDS:
            return refused(f"there is no folder of models {kind!r}", 404)
        with self._house.open():
            return json_of(await aside(lambda: list(_about(kind))))

    async def preview(self, request: Any) -> Any:
        """The picture that lies beside a model; no words where there is none."""
        info = request.match_info
        with self._house.open():
            bases = folders.bases(info["kind"]) if info["kind"] in folders.KINDS else []
            index = int(info["index"]) if info["index"].isdecimal() else -1
            if not 0 <= index < len(bases):
                return refused("there is no such folder of models", 404)
            model = folders.inside(bases[index], info["name"], "the model")
            for stem in (model.with_suffix(""), model.with_suffix(".preview")):
                for ending in PICTURES:
                    path = stem.with_name(stem.name + ending)
                    if path.is_file() and not path.is_symlink():
                        await aside(first_frame, path)  # a picture, and not only called one
                        return sent(request, path)
        return nothing(204)

    async def metadata(self, request: Any) -> Any:
        """What a safetensors file says of itself. UserError for a damaged one."""
        kind, name = request.match_info["kind"], request.query.get("filename", "")
        if kind not in folders.KINDS or Path(name).suffix.lower() not in SAFETENSORS_SUFFIXES:
            return refused("there is no such file", 404)
        inner_name(name, "the model", kind)
        with self._house.open():
            if name not in folders.names(kind):
                return refused("there is no such file", 404)
            contents = await aside(read_contents, folders.find(kind, name))
        told = contents.metadata
        return json_of(told) if told else refused("the file says nothing of itself", 404)


def _bases() -> list[tuple[str, list[Path]]]:
    return [(kind, folders.bases(kind)) for kind in folders.KINDS]


def _about(kind: str) -> Iterator[dict[str, Any]]:
    bases = folders.bases(kind)
    for name in folders.names(kind):
        path = folders.find(kind, name)
        index = next((i for i, base in enumerate(bases) if path == base / name), 0)
        status = path.stat()
        yield {
            "name": name,
            "pathIndex": index,
            "modified": status.st_mtime,
            "created": status.st_ctime,
            "size": status.st_size,
        }
