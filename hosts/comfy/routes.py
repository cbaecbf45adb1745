"""What the pack's scripts ask of ComfyUI's server, beside its own addresses."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ...ground.errors import UserError

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def serve(routes: Mapping[str, Answer]) -> None:
    """Answer POST requests to these addresses with what their functions make of the JSON.

    A UserError is told with the status 400, as `{"error": sentence}`. An address that is served
    already, since the pack lies in two folders, stays as it is.
    """
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    if server is None:
        return
    taken = {getattr(route, "path", None) for route in server.routes}
    for path, answer in routes.items():
        if path not in taken:
            server.routes.post(path)(handler(answer))


def handler(answer: Answer) -> Any:
    """What answers a request, an aiohttp handler, with what `answer` makes of its JSON."""
    from aiohttp import web

    async def handle(request: Any) -> Any:
        try:
            asked = await request.json()
            if not isinstance(asked, dict):
                raise UserError("the request has to be a JSON object.")
            # In a thread of its own: other pages are served meanwhile.
            return web.json_response(await asyncio.to_thread(answer, asked))
        except UserError as error:
            return web.json_response({"error": str(error)}, status=400)
        except (ValueError, RecursionError) as error:  # no JSON, or far too deep
            return web.json_response({"error": f"the request is no JSON: {error}"}, status=400)

    return handle
