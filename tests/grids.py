"""Numbers of a node's widgets beside the grid that its arrows walk on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_EDGES = (512, 768, 1024, 1080)
USUAL = {"width": _EDGES, "height": _EDGES, "resolution": _EDGES}
"""Values that people type, by the widget's name."""


def off_grid(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Each default, limit or usual value of INPUT_TYPES that is not min + k * step: the front end
    rounds to these.
    """
    for group in ("required", "optional"):
        for name, (kind, *options) in inputs.get(group, {}).items():
            if kind in ("INT", "FLOAT") and not options[0].get("forceInput"):
                yield from _off_grid(name, kind, options[0])


def _off_grid(name: str, kind: str, options: Mapping[str, Any]) -> Iterator[str]:
    low, step = options["min"], options.get("step", 1 if kind == "INT" else 0.5)
    for value in (options["default"], options["max"], *USUAL.get(name, ())):
        if kind == "INT":
            fits = (value - low) % step == 0
        else:  # so near that what the front end shows is the value
            steps = (value - low) / step
            fits = abs(steps - round(steps)) < 1e-6 * max(1.0, abs(steps) * 1e-6)
        if not fits:
            yield f"{name}: {value} is not {low} + k * {step}"
