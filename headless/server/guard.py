"""What stands before every answer: whose page asks, and how what goes wrong is told.

Browsers let any page send requests to this machine. ComfyUI refuses those that come from a page of
another origin (`server.py`, `create_origin_only_middleware`), and so does this: by what the browser
says of itself (Sec-Fetch-Site), and by the names in Host and Origin. Beyond ComfyUI's check, Host
has to be a name of this machine while only this machine can reach the server, so that a foreign
name that is made to point here (DNS rebinding) is of no use.
"""

from __future__ import annotations

import errno
import ipaddress
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from ...ground.errors import UserError
from ...ground.log import log
from .answers import Handler, refused

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
INSUFFICIENT_STORAGE = 507


def is_loopback(name: str) -> bool:
    """Whether a host's name, or address, is this machine's own."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def foreign(headers: Any, local_only: bool) -> str | None:
    """Why a request is refused as one of another page, or None."""
    if headers.get("Sec-Fetch-Site", "") == "cross-site":
        return "the request comes from a page of another site"
    host = _parts(f"//{headers.get('Host', '')}")
    if local_only and host is not None and host[0] and not is_loopback(host[0]):
        return f"this server is no {host[0]}: it answers to this machine alone"
    if "Host" not in headers or "Origin" not in headers:
        return None
    origin = _parts(headers["Origin"])
    if host is None or origin is None:
        return "the Host or the Origin of the request cannot be read"
    if not is_loopback(host[0]):
        return None
    ports = host[1] is not None and origin[1] is not None and host[1] != origin[1]
    if host[0] != origin[0] or ports:
        return "the request comes from a page of another origin"
    return None


def _is_full(error: BaseException | None) -> bool:
    """Whether a disk that takes no more is the reason."""
    full = isinstance(error, OSError) and error.errno in FULL
    return full or (error is not None and _is_full(error.__cause__))


def _parts(address: str) -> tuple[str, int | None] | None:
    try:
        split = urlsplit(address)
        return (split.hostname or "").lower(), split.port
    except ValueError:
        return None


def guard(local_only: bool) -> Any:
    """Answers nothing to pages of other origins."""

    async def guarded(request: Any, handler: Handler) -> Any:
        reason = foreign(request.headers, local_only)
        if reason is not None:
            log.warning("refused: %s", reason)
            return refused(reason, 403)
        if request.method == "OPTIONS":
            return web.Response()
        return await handler(request)

    return web.middleware(guarded)


def told() -> Any:
    """Turns errors into one sentence each, and lets the server live."""

    async def telling(request: Any, handler: Handler) -> Any:
        try:
            return await handler(request)
        except web.HTTPRequestEntityTooLarge as error:
            return refused(f"the request is too large: {error.text or error.reason}", 413)
        except web.HTTPException:
            raise
        except UserError as error:
            return refused(str(error), INSUFFICIENT_STORAGE if _is_full(error) else 400)
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            words = error.strerror or str(error)
            status = INSUFFICIENT_STORAGE if _is_full(error) else 500
            log.warning("%s %s: %s", request.method, request.path, words)
            return refused(f"the disk refused: {words}", status)
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            log.warning("%s %s: %s", request.method, request.path, words)
            return refused(f"{words}; this is a bug of the server", 500)

    return web.middleware(telling)


def headed() -> Any:
    """Headers that keep the browser from guessing, and from keeping what changes."""

    async def heading(request: Any, handler: Handler) -> Any:
        response = await handler(request)
        if not response.prepared:
            response.headers.setdefault("X-Content-Type-Options", "nosniff")
            if request.path.endswith((".js", ".mjs", ".css", ".json")) or "/api/" in request.path:
                response.headers.setdefault("Cache-Control", "no-cache")
        return response

    return web.middleware(heading)
