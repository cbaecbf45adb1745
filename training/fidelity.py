"""How well a picture follows a hint while its network still learns: the condition found in it again
beside the hint it was made from. Where `training` and `evaluation` meet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..evaluation.fidelity import Condition as Seen
from ..evaluation.fidelity import compare
from ..preprocessors.making import Sizing, make
from ..preprocessors.ready import HintMaker
from .data.condition import Condition
from .samples import Pixels, Sample
from .validation import Fidelity


def fidelity_of(condition: Condition, maker: HintMaker | None) -> Fidelity | None:
    """The figures of a picture by the condition's own preprocessor; `maker` is its network where it
    has one. None for a condition that no preprocessor finds in a picture.

    People are looked for in the sample's target, too: a drawn skeleton does not tell who they are.
    """
    entry = condition.entry
    if entry is None or entry.takes != "picture" or (entry.learning is not None and not maker):
        return None
    loaded = maker.loaded if maker else None

    def found(picture: Pixels) -> Seen:
        made = make(entry, picture, condition.values, Sizing(), loaded)
        return made.hint if made.pose is None else made.pose

    def fidelity(picture: Pixels, sample: Sample) -> Mapping[str, float]:
        if entry.finds_people:
            if sample.target is None:
                return {}
            wanted = found(sample.target)
        else:
            wanted = sample.hint.permute(1, 2, 0).numpy().astype(np.float32)
        return {
            figure.name: figure.value for figure in compare(entry.shows, found(picture), wanted)
        }

    return fidelity
