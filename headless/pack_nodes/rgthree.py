"""rgthree's seed and its switch, which chooses what is there.

By https://github.com/rgthree/rgthree-comfy, `py/seed.py` and `py/any_switch.py`.
"""

from __future__ import annotations

import random
from typing import Any

from ...ground.log import warn_once
from ..core_nodes.declare import integer
from .declare import nodes_of

rgthree_node = nodes_of("rgthree-comfy")

MOST = 1125899906842624
"""That pack's largest seed."""

ANEW = {-1: "random", -2: "one more than the last", -3: "one less than the last"}
"""Seeds that stand for another one, which that pack's page puts in before it sends a workflow."""

INPUTS = 30
"""Of the switch, which grows on the page: any_01, any_02 ..."""


@rgthree_node(
    "Seed (rgthree)",
    "rgthree",
    {"seed": integer(0, -MOST, MOST)},
    "INT",
    RETURN_NAMES=("SEED",),
    IS_CHANGED=lambda seed: random.random() if seed in ANEW else seed,
)
def seed(seed: int = 0) -> int:
    """The seed; where it stands for another one, a random one, which is said."""
    if seed not in ANEW:
        return seed
    drawn = random.randint(1, MOST)
    warn_once(f"Seed (rgthree): {seed} stands for {ANEW[seed]}; taken is {drawn}, drawn at random")
    return drawn


@rgthree_node(
    "Any Switch (rgthree)",
    "rgthree",
    {},
    "*",
    optional={f"any_{number:02}": "*" for number in range(1, INPUTS + 1)},
    RETURN_NAMES=("*",),
)
def switch(**given: Any) -> Any:
    """The first input that brings something."""
    return next((given[name] for name in sorted(given) if given[name] is not None), None)
