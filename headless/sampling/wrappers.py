"""ComfyUI's wrapper protocol: functions `fn(executor, *args, **kwargs)` around a call.

A wrapper calls `executor(*args, **kwargs)` to go on; the object whose method is wrapped is
`executor.class_obj`. The kinds below are the strings that ComfyUI uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

OUTER_SAMPLE = "outer_sample"
SAMPLER_SAMPLE = "sampler_sample"
PREDICT_NOISE = "predict_noise"
CALC_COND_BATCH = "calc_cond_batch"
APPLY_MODEL = "apply_model"

# {kind: {key: [function, ...]}}
Registry = dict[str, dict[str, list[Callable[..., Any]]]]


class Executor:
    """What is left to call: the remaining wrappers, outermost first, then the original."""

    __slots__ = ("class_obj", "original", "wrappers")

    def __init__(
        self,
        original: Callable[..., Any],
        class_obj: object,
        wrappers: Sequence[Callable[..., Any]],
    ) -> None:
        self.original = original
        self.class_obj = class_obj
        self.wrappers = wrappers

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the next wrapper, or the original where none is left."""
        if not self.wrappers:
            return self.original(*args, **kwargs)
        rest = Executor(self.original, self.class_obj, self.wrappers[1:])
        return self.wrappers[0](rest, *args, **kwargs)


def wrapped(
    original: Callable[..., Any], class_obj: object, registry: Registry | None, kind: str
) -> Callable[..., Any]:
    """Return `original` inside the wrappers of one kind, in the order they were added."""
    by_key = (registry or {}).get(kind, {})
    functions = [fn for functions in by_key.values() for fn in functions]
    return Executor(original, class_obj, functions) if functions else original


def copy_options(value: Mapping[Any, Any]) -> dict[Any, Any]:
    """Copy nested dicts and lists; what they hold (tensors, models, functions) is shared."""
    return {key: _copied(item) for key, item in value.items()}


def _copied(item: Any) -> Any:
    if isinstance(item, dict):
        return copy_options(item)
    return list(item) if isinstance(item, list) else item


def merged(first: Registry, second: Registry) -> Registry:
    """Return the functions of both registries, `first`'s before `second`'s."""
    result: Registry = copy_options(first)
    for kind, by_key in second.items():
        for key, functions in by_key.items():
            result.setdefault(kind, {}).setdefault(key, []).extend(functions)
    return result
