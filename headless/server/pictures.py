"""Pictures: looked at, and brought here."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from ...ground.atomic import write_atomic, write_free
from ...ground.errors import UserError
from ...ground.structured import read_json
from ...ground.wording import shown
from ...preprocessors.picture_files import first_frame
from .. import folders
from .answers import Route, aside, json_of, refused
from .files import disposition, sent
from .house import House

PREVIEWS = ("webp", "jpeg")
QUALITY = 90


class Pictures:
    """Answers for pictures of the input, output and temporary folders."""

    def __init__(self, house: House) -> None:
        self._house = house

    def routes(self) -> list[Route]:
        """All addresses of this room."""
        return [
            ("GET", "/view", self.view),
            ("POST", "/upload/image", self.upload),
            ("POST", "/upload/mask", self.upload_mask),
            ("GET", "/internal/files/{kind}", self.names),
        ]

    async def view(self, request: Any) -> Any:
        """A file, or a picture of it in another form."""
        query = request.query
        if not query.get("filename"):
            return refused("there is no filename in the request", 404)
        with self._house.open():
            kind, subfolder = query.get("type", "output"), query.get("subfolder", "")
            path = folders.find_file(query["filename"], kind, subfolder)
        if path is None:
            return refused(f"there is no file {shown(query['filename'])}", 404)
        channel = query.get("channel", "")
        if "preview" in query:
            made = await aside(_preview, path, query["preview"], channel)
        elif channel in ("rgb", "a"):
            made = await aside(_channel, path, channel)
        else:
            return sent(request, path)
        data, media = made
        name = disposition(path.name)
        return web.Response(body=data, content_type=media, headers={"Content-Disposition": name})

    async def upload(self, request: Any) -> Any:
        """A file is put into a folder, the one for inputs unless another is named."""
        given = await _form(request)
        with self._house.open():
            return json_of(await aside(_stored, given, given.data))

    async def upload_mask(self, request: Any) -> Any:
        """The transparency of one picture is put on another, and that is stored."""
        given = await _form(request)
        with self._house.open():
            return json_of(await aside(lambda: _stored(given, _masked(given))))

    async def names(self, request: Any) -> Any:
        """The files of a folder, newest first."""
        kind = request.match_info["kind"]
        if kind not in folders.FILES:
            return refused("Invalid directory type", 400)
        with self._house.open():
            return json_of(await aside(_newest, kind))


@dataclass(frozen=True)
class _Given:
    """The form of an upload."""

    name: str
    data: bytes
    fields: dict[str, str]


async def _form(request: Any) -> _Given:
    try:
        post = await request.post()
    except ValueError as error:
        raise UserError(f"the form cannot be read: {error}") from error
    image = post.get("image")
    if image is None or not hasattr(image, "file") or not image.filename:
        raise UserError("the form has no file `image`")
    fields = {key: value for key, value in post.items() if isinstance(value, str)}
    return _Given(image.filename, await aside(image.file.read), fields)


def _stored(given: _Given, data: bytes) -> dict[str, str]:
    """Write an upload; the same file again keeps its name, another one of that name gets a number.

    Raises UserError for a name that leaves its folder and for a folder that cannot be written.
    """
    kind, subfolder = given.fields.get("type", "input"), given.fields.get("subfolder", "")
    base = folders.places(kind)[0]
    base.mkdir(parents=True, exist_ok=True)
    if "/" in given.name or "\\" in given.name:
        raise UserError(f"the name {shown(given.name)} holds a folder; say it as `subfolder`")
    path = folders.inside(
        base, f"{subfolder}/{given.name}" if subfolder else given.name, "the file"
    )
    if path.name.startswith("."):
        raise UserError(f"the name {shown(given.name)} begins with a dot; give it another")
    path.parent.mkdir(parents=True, exist_ok=True)
    if given.fields.get("overwrite", "") in ("true", "1"):
        write_atomic(path, data)
    elif not (path.is_file() and path.read_bytes() == data):
        path = write_free(_names(path), data)
    return {"name": path.name, "subfolder": subfolder, "type": kind}


def _names(path: Path) -> Iterator[Path]:
    yield path
    for number in itertools.count(1):
        yield path.with_name(f"{path.stem} ({number}){path.suffix}")


def _masked(given: _Given) -> bytes:
    """The picture that the form names, with the transparency of the one it brings."""
    told = read_json(given.fields.get("original_ref", ""), "original_ref", "reference")
    if not isinstance(told, dict):
        raise UserError("original_ref must be an object with a filename")
    parts = {key: str(told.get(key) or "") for key in ("filename", "subfolder", "type")}
    path = folders.find_file(parts["filename"], parts["type"] or "output", parts["subfolder"])
    if path is None:
        raise UserError(f"there is no picture {shown(parts['filename'])} to put the mask on")
    picture = first_frame(path)[0].convert("RGBA")
    mask = first_frame(Path(given.name), given.data)[0].convert("RGBA").getchannel("A")
    if mask.size != picture.size:
        mask = mask.resize(picture.size)
    picture.putalpha(mask)
    texts = PngInfo()
    with Image.open(path) as original:
        if isinstance(original, PngImageFile):
            for key, text in original.text.items():
                texts.add_text(key, text)
    return _encoded(picture, "PNG", compress_level=4, pnginfo=texts)


def _preview(path: Path, wanted: str, channel: str) -> tuple[bytes, str]:
    """A picture in a smaller form; `wanted` is "webp;90"."""
    kind, _, quality = wanted.partition(";")
    if kind not in PREVIEWS or "a" in channel:
        kind = PREVIEWS[0]
    picture = first_frame(path)[0]
    if kind == "jpeg" or channel == "rgb":
        picture = picture.convert("RGB")
    elif picture.mode not in ("RGB", "RGBA"):
        picture = picture.convert("RGBA" if "A" in picture.mode else "RGB")
    level = min(100, int(quality)) if quality.isascii() and quality.isdigit() else QUALITY
    return _encoded(picture, kind, quality=level), f"image/{kind}"


def _channel(path: Path, channel: str) -> tuple[bytes, str]:
    """The colours of a picture without its transparency, or the transparency alone."""
    picture = first_frame(path)[0].convert("RGBA")
    if channel == "rgb":
        made = picture.convert("RGB")
    else:
        made = Image.new("RGBA", picture.size)
        made.putalpha(picture.getchannel("A"))
    return _encoded(made, "PNG", compress_level=1), "image/png"


def _encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format=kind, **options)
    return stream.getvalue()


def _newest(kind: str) -> list[str]:
    found = [
        path
        for base in folders.places(kind)
        if base.is_dir()
        for path in base.iterdir()
        if path.is_file() and not path.name.startswith(".")
    ]
    found.sort(key=lambda path: -path.stat().st_mtime)
    return [f"{path.name} [{kind}]" for path in found]
