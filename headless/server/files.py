"""Files as answers: none of them is ever run by the browser that gets it."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

from aiohttp import web

OTHER = "application/octet-stream"
ACTIVE = ("html", "xml", "svg", "script", "css", "wasm", "xsl", "pdf")
"""Parts of media types whose files can hold scripts, or are such."""


_LATER = {".webp": "image/webp"}
"""What Python knows from 3.13 on, and before it only where the system has a table."""


def kind_of(name: str) -> str:
    """The media type of a file by its name."""
    return mimetypes.guess_type(name)[0] or _LATER.get(Path(name).suffix.lower(), OTHER)


def is_active(kind: str) -> bool:
    """Whether a browser that opens a file of this type might run what is in it."""
    return any(part in kind.lower() for part in ACTIVE)


def sent(request: Any, path: Path, attached: bool = False) -> Any:
    """The answer that is a file somebody put here.

    What could hold scripts (SVG, HTML) is to be saved and not to be opened; a browser that says it
    wants a picture (Sec-Fetch-Dest: image) gets an SVG as one, since scripts do not run in those.
    With `attached` every file is to be saved.
    """
    kind = kind_of(path.name)
    headers = {"X-Content-Type-Options": "nosniff"}
    if is_active(kind):
        as_image = "svg" in kind and request.headers.get("Sec-Fetch-Dest") == "image"
        attached = attached or not as_image
        kind = kind if as_image else OTHER
        headers |= {"Vary": "Sec-Fetch-Dest", "Cache-Control": "no-store"}
        headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        )
    headers["Content-Disposition"] = disposition(path.name, attached)
    headers["Content-Type"] = kind
    return web.FileResponse(path, headers=headers)


def disposition(name: str, attached: bool = False) -> str:
    """The header that says how a file is called, and whether it is to be saved."""
    plain = name.encode("ascii", "replace").decode().replace("\\", "\\\\").replace('"', '\\"')
    return f'{"attachment; " if attached else ""}filename="{plain}"'
