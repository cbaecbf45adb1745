"""The timelines of a workflow: one for each node that samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...ground.errors import UserError
from ...ground.ours import MARKED
from ...inspection.timeline import BOTH, UNCONDITIONAL, VERSION, Timeline
from ...model_patch.call import CONDITIONAL
from ...model_patch.control import Control, ControlStack
from ..graph.model import Graph, Node
from ..graph.registry import Registry
from .files import cost_of, facts_of
from .values import Entry, Guider, Net, Sampled, one_sided
from .walk import Walk


@dataclass(frozen=True, eq=False)
class WorkflowPlan:
    """Timelines by the node that samples, in the order of a run, notes on the whole, and how many
    pictures the last sampler makes (0: not known)."""

    timelines: tuple[tuple[Node, Timeline], ...]
    notes: tuple[str, ...]
    pictures: int = 0

    def json(self) -> dict[str, Any]:
        """The data; each timeline's own form stands in `samplers`."""
        samplers = [{"node": node.id, **timeline.json()} for node, timeline in self.timelines]
        return {**MARKED, "version": VERSION, "samplers": samplers, "notes": list(self.notes)}


def plan_of(graph: Graph, registry: Registry, glance: bool = False) -> WorkflowPlan:
    """What would control each sampler of `graph`, and when. With `glance` no picture is read and no
    hint is made, which a plan shows but does not need, and defaults stand for values that nodes
    refuse.

    Raises:
        UserError: no node that samples, links in a circle, a value that a node refuses, a factor
            that a sampler's schedule does not have; names the node.
    """
    walk = Walk(graph, registry, glance)
    sampled = walk.samplers()
    if not sampled:
        raise UserError(
            "no node of this workflow samples (KSampler, KSamplerAdvanced, SamplerCustom ...), so "
            "there is nothing to plan"
        )
    found, notes = [], dict.fromkeys((*graph.notes, *walk.notes))
    for node, one in sampled:
        if one.schedule is None or not one.schedule.steps:
            why = one.words if one.schedule is None else "it samples no step"
            notes[f"{node.label}: {why}, so it has no plan"] = None
            continue
        found.append((node, _timeline(node, one)))
    return WorkflowPlan(tuple(found), tuple(notes), sampled[-1][1].count)


def _timeline(node: Node, sampled: Sampled) -> Timeline:
    assert sampled.schedule is not None
    guider = sampled.guider
    sides = BOTH if guider.negative is not None and guider.cfg != 1.0 else BOTH[:1]
    stack = (*_on_prompts(guider), *guider.model.stack)
    facts = facts_of(guider.model)
    nets = [control.net if isinstance(control.net, Net) else Net() for control in stack]
    try:
        return Timeline.of(
            stack,
            sampled.schedule,
            f"{node.label}: {sampled.words}",
            costs=[cost_of(net, facts) for net in nets],
            sides=sides,
            pictures=sampled.count,
            notes=(*facts.notes, *sampled.notes),
        )
    except UserError as error:
        raise error.at(node.label) from error


def _on_prompts(guider: Guider) -> ControlStack:
    """The controls that lie on the prompts, as a stack; those on one of the two act there alone."""
    positive = guider.positive.entries
    negative = () if guider.negative is None else guider.negative.entries
    lent = [entry for entry in positive if entry.for_both and entry.chain]
    free = [entry for entry in negative if not entry.chain]
    on_negative = [*negative, *(lent if free else ())]
    first, second = _controls(positive), _controls(on_negative)
    found: list[Control] = []
    for control in {id(one): one for one in (*first, *second)}.values():
        sides = (
            CONDITIONAL if _holds(first, control) else None,
            UNCONDITIONAL if _holds(second, control) else None,
        )
        if None in sides and guider.negative is not None:
            control = one_sided(control, *(float(side is not None) for side in sides))
        found.append(control)
    return tuple(found)


def _controls(entries: Sequence[Entry]) -> list[Control]:
    return [control for entry in entries for control in entry.chain]


def _holds(controls: Sequence[Control], control: Control) -> bool:
    return any(one is control for one in controls)
