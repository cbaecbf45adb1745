"""Which values of a run are still needed, so that the others can be let go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from .call import Outcome
from .model import Json, Link, Node


class Needs:
    """Counts, for each output that a run will make, the nodes that have yet to take it.

    Nodes of one signature share their outputs, and each of them counts as a taker of its own.
    """

    def __init__(
        self,
        order: Sequence[Node],
        values: Mapping[str, Mapping[str, Json | Link]],
        keys: Mapping[str, str],
    ) -> None:
        """`values`: each node's inputs; `keys`: each node's signature."""
        self._values, self._keys = values, keys
        self._taken = Counter(place for node in order for place in self._takes(node))
        self._waiting = Counter(keys[node.id] for node in order)

    def done(self, node: Node, kept: Mapping[str, Outcome]) -> None:
        """`node` has run: empty every output in `kept` that it was the last to take."""
        self._waiting[self._keys[node.id]] -= 1
        self._taken.subtract(self._takes(node))
        for key in {self._keys[node.id], *(key for key, _ in self._takes(node))}:
            if key not in kept:  # of a lazy input that was not asked for
                continue
            for slot, values in enumerate(kept[key].outputs):
                if not self._waiting[key] and not self._taken[key, slot]:
                    values.clear()

    def _takes(self, node: Node) -> Iterator[tuple[str, int]]:
        for value in self._values[node.id].values():
            if isinstance(value, Link):
                yield self._keys[value.node], value.slot
