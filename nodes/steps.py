"""Where a sampler's steps lie among the percents, for those who draw ranges."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from ..ground.errors import UserError
from ..ground.wording import listing, shown
from ..hosts import host
from ..model_patch.schedule import Schedule

KEPT, MOST = 32, 1000
"""Models whose noise levels are kept, and steps that are counted."""
WHOLE = 100_000
"""Steps of the whole schedule, of which `denoise` leaves the last: more take minutes to make."""

_SAMPLINGS: OrderedDict[str, Any] = OrderedDict()


def remember(model: Any) -> str:
    """A word by which `steps` knows the noise levels of a MODEL; the last `KEPT` are known."""
    sampling = model.get_model_object("model_sampling")
    for word, known in _SAMPLINGS.items():
        if known is sampling:
            return word
    word = uuid4().hex
    _SAMPLINGS[word] = sampling
    while len(_SAMPLINGS) > KEPT:
        _SAMPLINGS.popitem(last=False)
    return word


def steps(asked: dict[str, Any]) -> dict[str, Any]:
    """`{"steps", "scheduler", "denoise", "first", "last", "model"}` -> `{"percents", "exact"}`.

    `percents` are where each step begins, and 1.0 at the end: as many as steps and one. `first` and
    `last` (without) cut them as KSampler (Advanced) does. `exact` is False where `model` is no word
    of `remember`: then they are those of Stable Diffusion 1.x, 2.x and SDXL.

    Raises:
        UserError: numbers out of range, and a scheduler that the host does not have.
    """
    count, scheduler = asked.get("steps"), asked.get("scheduler")
    denoise, first, last = asked.get("denoise", 1.0), asked.get("first", 0), asked.get("last", MOST)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST:
        raise UserError(f"steps is {shown(count)}; it has to be from 1 to {MOST}.")
    if scheduler not in host.schedulers():
        raise UserError(
            f"the scheduler is {shown(scheduler)}; there are {listing(host.schedulers())}."
        )
    if not isinstance(denoise, (int, float)) or not 0.0 < denoise <= 1.0:
        raise UserError(f"denoise is {shown(denoise)}; it has to be above 0 and at most 1.")
    if count / denoise > WHOLE:
        raise UserError(
            f"denoise is {shown(denoise)}; with {count} steps it has to be {count / WHOLE:g} or "
            "more."
        )
    if not isinstance(first, int) or not isinstance(last, int):
        raise UserError("first and last have to be whole numbers.")
    known = _SAMPLINGS.get(str(asked.get("model")))
    sampling = host.current().usual_sampling() if known is None else known
    levels = host.current().sigmas(
        SimpleNamespace(get_model_object=lambda _: sampling), scheduler, count, float(denoise)
    )
    sigmas = tuple(levels.tolist())[max(first, 0) : max(last, 0) + 1]
    schedule = Schedule(sampling, sigmas)
    percents = [round(schedule.percent(sigma), 6) for sigma in sigmas]
    return {"percents": percents, "exact": known is not None}
