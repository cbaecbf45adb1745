"""What the server says of itself: the machine, what it can do, and its log."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ...ground.log import log
from .answers import Route, json_of, nothing, object_of
from .clients import Clients
from .house import House

if TYPE_CHECKING:
    import torch

SPOKEN = "0.33.0"
"""The version of ComfyUI whose routes and messages these are: clients ask for it."""
LINES = 300
"""Lines of the log that are kept."""
COLUMNS = 120


def features(house: House) -> dict[str, Any]:
    """What the server can do, by ComfyUI's names of it (`comfy_api/feature_flags.py`)."""
    return {
        "supports_preview_metadata": True,
        "supports_model_type_tags": True,
        "max_upload_size": house.upload,
        "node_replacements": True,
        "assets": False,
    }


class Machine:
    """Answers for the machine and its log."""

    def __init__(self, house: House, clients: Clients) -> None:
        self._house, self._clients = house, clients
        self._lines: deque[dict[str, str]] = deque(maxlen=LINES)
        self._readers: set[str] = set()
        self._handler = _Hearing(self._hear)

    def routes(self) -> list[Route]:
        """All addresses of this room."""
        return [
            ("GET", "/system_stats", self.stats),
            ("GET", "/features", self.features),
            ("GET", "/node_replacements", self.replacements),
            ("GET", "/logs", self.text),
            ("GET", "/internal/logs", self.text),
            ("GET", "/internal/logs/raw", self.lines),
            ("PATCH", "/internal/logs/subscribe", self.subscribe),
        ]

    def listen(self) -> None:
        """Keep what the log says from now on."""
        log.addHandler(self._handler)

    def leave(self) -> None:
        """Keep nothing more."""
        log.removeHandler(self._handler)

    async def stats(self, request: Any) -> Any:
        """Memory, versions, devices."""
        return json_of(_stats(self._house))

    async def features(self, request: Any) -> Any:
        """What the server can do."""
        return json_of(features(self._house))

    async def replacements(self, request: Any) -> Any:
        """Nodes that stand for others: none."""
        return json_of({})

    async def text(self, request: Any) -> Any:
        """The log as one text."""
        return json_of("".join(f"{line['t']} - {line['m']}" for line in self._lines))

    async def lines(self, request: Any) -> Any:
        """The log line by line."""
        size = {"cols": COLUMNS, "rows": LINES}
        return json_of({"entries": list(self._lines), "size": size})

    async def subscribe(self, request: Any) -> Any:
        """A client wants to hear new lines, or no longer."""
        asked = await object_of(request)
        client = str(asked.get("clientId", ""))
        (self._readers.add if asked.get("enabled") else self._readers.discard)(client)
        return nothing()

    def _hear(self, words: str) -> None:
        line = {"t": datetime.now(timezone.utc).isoformat(), "m": f"{words}\n"}
        self._lines.append(line)
        for client in tuple(self._readers):
            self._clients.tell("logs", {"entries": [line]}, client)


class _Hearing(logging.Handler):
    def __init__(self, hear: Callable[[str], None]) -> None:
        super().__init__()
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        self._hear(self.format(record))


def _stats(house: House) -> Mapping[str, Any]:
    import psutil
    import torch

    from .front_end import version

    memory = psutil.virtual_memory()
    return {
        "system": {
            "os": sys.platform,
            "ram_total": memory.total,
            "ram_free": memory.available,
            "comfyui_version": SPOKEN,
            "required_frontend_version": version(house.front_end),
            "installed_templates_version": None,
            "required_templates_version": None,
            "comfy_package_versions": [],
            "python_version": sys.version,
            "pytorch_version": torch.__version__,
            "embedded_python": False,
            "deploy_environment": "controlstack",
            "argv": ["controlstack", "serve"],
        },
        "devices": [_device(house.computing.device, memory)],
    }


def _device(device: torch.device, memory: Any) -> Mapping[str, Any]:
    """The device that computes; of a CPU the machine's own `memory` (psutil's)."""
    import torch

    name, total, free = "cpu", memory.total, memory.available
    torch_total, torch_free = total, free
    if device.type == "cuda":
        name = f"{device} {torch.cuda.get_device_name(device)}"
        free, total = torch.cuda.mem_get_info(device)
        torch_total = torch.cuda.memory_reserved(device)
        torch_free = torch_total - torch.cuda.memory_allocated(device)
    return {
        "name": name,
        "type": device.type,
        "index": device.index,
        "vram_total": total,
        "vram_free": free,
        "torch_vram_total": torch_total,
        "torch_vram_free": torch_free,
    }
