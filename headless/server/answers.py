"""What every room of the server answers with, and how it reads what it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from aiohttp import web

from ...ground.errors import UserError
from ...ground.structured import Json, JsonObject, read_json
from .packed import text_of

Handler: TypeAlias = Callable[[Any], Awaitable[Any]]
Route: TypeAlias = tuple[str, str, Handler]
"""A method, an address, and what answers there. It answers behind `/api` as well."""

Made = TypeVar("Made")


def json_text(text: str, status: int = 200) -> Any:
    """An answer that is JSON already."""
    return web.Response(text=text, status=status, content_type="application/json")


def json_of(value: Any, status: int = 200) -> Any:
    """An answer in JSON."""
    return json_text(text_of(value), status)


def nothing(status: int = 200) -> Any:
    """An answer without words."""
    return web.Response(status=status)


def refused(sentence: str, status: int) -> Any:
    """What cannot be done, in one sentence."""
    return json_of({"error": sentence}, status)


async def value_of(request: Any) -> Json:
    """The JSON of a request; UserError where it is none."""
    body = await request.read()
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("the request is no JSON: it holds bytes that are no UTF-8") from error
    return read_json(text, "the request", "request")


async def object_of(request: Any, empty: bool = False) -> JsonObject:
    """The JSON object of a request; with `empty` nothing at all is {}. UserError otherwise."""
    if empty and not await request.read():
        return {}
    value = await value_of(request)
    if not isinstance(value, dict):
        raise UserError("the request has to be a JSON object")
    return value


def texts_of(value: Json, what: str) -> list[str]:
    """A list of texts; UserError, which calls it `what`, where it is none."""
    if not isinstance(value, list):
        raise UserError(f"{what} must be a list")
    found = [one for one in value if isinstance(one, str)]
    if len(found) < len(value):
        raise UserError(f"{what} must be a list of texts")
    return found


async def aside(call: Callable[..., Made], *given: Any) -> Made:
    """What `call` makes, in a thread of its own: others are answered meanwhile."""
    return await asyncio.to_thread(call, *given)
