"""Captions of demo scenes: a few plain sentences over colours, solids and what people do."""

from __future__ import annotations

import numpy as np

from .scenes import Person, Scene

ARM_WORDS = {
    "down": "", "cheer": "cheering", "wave": "waving", "reach": "reaching out",
    "hips": "posing", "point": "pointing",
}  # fmt: skip
LEG_WORDS = {"stand": "", "wide": "standing wide", "walk": "walking", "kick": "kicking"}
OPENINGS = ("", "", "", "a picture of ", "there is ")
AND = (" and ", " beside ", " and ", " next to ")


def caption(scene: Scene, seed: int | None = None) -> str:
    """The scene in words. Without a seed it takes the plainest form; a seed draws the form and the
    order.
    """
    rng = None if seed is None else np.random.default_rng((seed, 1))
    solids = [f"{'an' if s.colour == 'orange' else 'a'} {s.colour} {s.kind}" for s in scene.solids]
    if rng is not None:
        solids = [solids[int(i)] for i in rng.permutation(len(solids))]
    opening = "" if rng is None else OPENINGS[int(rng.integers(len(OPENINGS)))]
    joint = " and " if rng is None else AND[int(rng.integers(len(AND)))]
    if scene.person is None:
        return opening + _listed(solids, joint)
    someone = person_phrase(scene.person)
    if not solids:
        return opening + someone
    link = ", beside " if rng is None else (", beside ", ", with ", " and ")[int(rng.integers(3))]
    return opening + someone + link + _listed(solids, " and ")


def person_phrase(person: Person) -> str:
    """Clothes and pose: `a person in a green shirt and blue trousers walking and waving`."""
    doing = [word for word in (LEG_WORDS[person.legs], ARM_WORDS[person.arms]) if word]
    article = "an" if person.shirt == "orange" else "a"
    clothes = f"a person in {article} {person.shirt} shirt and {person.trousers} trousers"
    return f"{clothes} {' and '.join(doing) or 'standing'}"


def _listed(phrases: list[str], last: str) -> str:
    if len(phrases) == 1:
        return phrases[0]
    return ", ".join(phrases[:-1]) + last + phrases[-1]
