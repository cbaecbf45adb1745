"""How a node of comfyui_controlnet_aux is made by a preprocessor of ours.

Each looks at the picture as there: `resolution` pixels on its shorter side, padded to a multiple of
64. What differs from that pack's hint is said once a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from ...ground.errors import UserError
from ...ground.log import warn_once
from ...ground.parameters import Value
from ...ground.wording import listing, shown
from ...hosts import host
from ...nodes.hint_batch import make_batch
from ...nodes.hint_node import check as check_hint
from ...preprocessors import model_choice
from ...preprocessors.making import Made
from ...preprocessors.picture import Bytes
from ...preprocessors.ready import KeptModel
from ...preprocessors.registry import PREPROCESSORS
from ...preprocessors.sizing import Size
from ...preprocessors.spec import Hint, Preprocessor
from ..core_nodes.declare import Declared
from .aux_fields import RESOLUTION
from .aux_pictures import Grow, padded, pictures, resized

Settings: TypeAlias = Mapping[str, Value]
Change: TypeAlias = Callable[[Bytes], Bytes]


@dataclass(frozen=True)
class Alike:
    """A node of that pack, and what makes its hint here.

    Args:
        entry: the name of our preprocessor.
        fields: the inputs beside the picture, in their order.
        settings: what our preprocessor is to be set to, for the values of `fields`.
        note: what is not the same, half a sentence, always; or for some values.
        before: what happens to the padded picture first.
        after: what becomes of our hint's bytes, at the padded size.
        last: what becomes of them when the padding is off.
        models: the models that it means, by the values; the first that is there is taken.
        judged: the fields that `check` and `models` look at.
        check: raises UserError for values that have no equal.
    """

    entry: str
    fields: Mapping[str, Declared] = field(default_factory=lambda: RESOLUTION)
    settings: Callable[[Mapping[str, Any]], Settings] = lambda given: {}
    note: str | Callable[[Mapping[str, Any]], str] = ""
    grow: Grow = "cubic"
    before: Change | None = None
    after: Callable[[Bytes, Mapping[str, Any]], Bytes] | None = None
    last: Change | None = None
    models: Callable[[Mapping[str, Any]], tuple[str, ...]] | None = None
    judged: tuple[str, ...] = ()
    check: Callable[[Mapping[str, Any]], None] | None = None


def hints(node: str, alike: Alike, image: Tensor, given: Mapping[str, Any]) -> list[Made]:
    """What `alike` makes of IMAGE, one hint a picture, cut back from the padding; what is not the
    same as in that pack is said."""
    entry, asked = PREPROCESSORS[alike.entry], {**_defaults(alike), **given}
    meant, model = _models(alike, entry, asked)
    said = alike.note(asked) if callable(alike.note) else alike.note
    if said:
        warn_once(f"{node}: {said}")
    if model != meant:
        warn_once(f"{node}: {meant} is not here, and {model} is taken for it")
    seen, size = [], (0, 0)
    for picture in pictures(image):
        one, size = padded(resized(picture, asked["resolution"], alike.grow))
        seen.append(one if alike.before is None else alike.before(one))
    inputs = {"resolution": min(seen[0].shape[:2]), "model": model}
    made = make_batch(entry, list(seen), entry.settings(alike.settings(asked)), inputs, KeptModel())
    return [Made(_finished(one.hint, alike, asked, size), one.pose) for one in made]


def _finished(hint: Hint, alike: Alike, asked: Mapping[str, Any], size: Size) -> Bytes:
    # That pack's hints are bytes, and a level falls to the one below it.
    scaled = hint if hint.dtype == np.uint8 else (hint * 255.0).clip(0, 255)
    made: Bytes = scaled.astype(np.uint8)
    if alike.after is not None:
        made = alike.after(made, asked)
    cut: Bytes = np.ascontiguousarray(made[: size[1], : size[0]])
    return cut if alike.last is None else alike.last(cut)


def require(alike: Alike, given: Mapping[str, Any]) -> None:
    """Raise UserError for values or weights that its hint cannot be made with; None is what comes
    through a link and waits."""
    asked = {**_defaults(alike), **given}
    if any(asked[name] is None for name in alike.judged):
        return
    for name in alike.judged:
        choices = alike.fields[name][0]
        if asked[name] not in choices:
            raise UserError(
                f"input {name} is {shown(asked[name])}, but has to be one of: {listing(choices)}"
            )
    if alike.check is not None:
        alike.check(asked)
    entry = PREPROCESSORS[alike.entry]
    if entry.learning is not None:
        check_hint(entry, {"model": _models(alike, entry, asked)[1], "download": False})


def _defaults(alike: Alike) -> dict[str, Any]:
    return {
        name: declared[1]["default"] if len(declared) > 1 else declared[0][0]
        for name, declared in alike.fields.items()
    }


def _models(alike: Alike, entry: Preprocessor, asked: Mapping[str, Any]) -> tuple[str, str]:
    """The model that is meant, and the one to be taken: of those that may stand for it the first
    that is there. "" where there is one alone."""
    if alike.models is None:
        return "", ""
    meant, *others = alike.models(asked)
    for name in (meant, *others):
        with suppress(UserError):
            model_choice.choose(entry, name, host.current().places())
            return meant, name
    return meant, meant
