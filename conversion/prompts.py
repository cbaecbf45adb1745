"""Chains on prompts: ComfyUI's apply nodes and those of Advanced-ControlNet.

What they do is as ComfyUI 0.33's `nodes.py` and Advanced-ControlNet's `nodes_main.py` have it. An
apply node of one conditioning marks it `control_apply_to_uncond`: the sampler puts its control on
the negative prompt too, where that has none of its own (`comfy/samplers.py`,
`apply_empty_x_to_equal_area`). That is the same as both prompts through a ControlNet Stack only
where each is one prompt without an area.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..ground.structured import Json
from .chain import PLAIN, Chain, Line, chains_in, problems_of, ranged
from .known import CORE_APPLY
from .view import BYPASSED, EXIT, MUTED, Piece, Port, Use, View

POSITIVE, NEGATIVE = 2, 3
"""Outputs of ControlNet Stack."""


@dataclass(frozen=True)
class _Kind:
    """An apply node: whether it takes one conditioning, and its sockets for a mask and a VAE."""

    single: bool = False
    mask: str = ""
    vae: str = ""
    without: tuple[str, ...] = ()


_NO_EQUAL = ("timestep_kf", "latent_kf_override", "weights_override")
_PAIR = _Kind(mask="mask_optional", vae="vae_optional", without=_NO_EQUAL)
_SINGLE = _Kind(single=True, mask="mask_optional", vae="vae_optional", without=_NO_EQUAL)
APPLIES: dict[str, _Kind] = {
    "ControlNetApply": _Kind(single=True),
    CORE_APPLY: _Kind(vae="vae"),
    "ControlNetApplySD3": _Kind(vae="vae"),
    "ACN_AdvancedControlNetApply": _PAIR,
    "ACN_AdvancedControlNetApply_v2": _PAIR,
    "ACN_AdvancedControlNetApplySingle": _SINGLE,
    "ACN_AdvancedControlNetApplySingle_v2": _SINGLE,
}
_KEYFRAMES = ("_tk_opt", "timestep_keyframe", "timestep_kf", "tk_optional")
"""Sockets of Advanced-ControlNet's loaders."""

_ENDS = re.compile(r"sampler|guider|detailer|upscale", re.IGNORECASE)
"""Nodes that hand a conditioning to the sampler as it is."""

_ONE_PROMPT = re.compile(
    r"encode|^Conditioning(ZeroOut|Concat|Average)$|^FluxGuidance$", re.IGNORECASE
)
"""Nodes that give one prompt without an area, where they are given one."""

_NOT_ONE_PROMPT = re.compile(r"area|mask|region|combine|inpaint", re.IGNORECASE)


def chains(view: View) -> Iterator[Chain]:
    """Every chain of apply nodes in the graph."""
    pieces = [one for one in view.pieces.values() if one.type in APPLIES and one.mode != MUTED]
    for nodes in chains_in(pieces, lambda piece: _before(view, piece)):
        yield _chain(view, nodes)


def _before(view: View, piece: Piece) -> Piece | None:
    """The apply node whose outputs go into this one and nowhere else."""
    single = APPLIES[piece.type].single
    names = ("conditioning",) if single else ("positive", "negative")
    ports = [view.source(piece, name) for name in names]
    node = ports[0].node if ports[0] is not None else ""
    before = view.pieces.get(node)
    if before is None or before.type not in APPLIES or before.mode == MUTED:
        return None
    fits = APPLIES[before.type].single == single and ports == [
        Port(node, slot) for slot in range(len(names))
    ]
    alone = all(
        view.uses(Port(node, slot)) == [Use(piece.id, name)] for slot, name in enumerate(names)
    )
    return before if fits and alone else None


def _chain(view: View, nodes: list[Piece]) -> Chain:
    chain = Chain([piece.id for piece in nodes], [])
    for piece in nodes:
        _add(view, chain, piece)
    first, last = nodes[0], nodes[-1]
    if APPLIES[last.type].single:
        _lay_single(view, chain, first, last)
    else:
        chain.wires = {
            name: first.wires[name] for name in ("positive", "negative") if name in first.wires
        }
        chain.moved = {Port(last.id, 0): POSITIVE, Port(last.id, 1): NEGATIVE}
    return chain


def _add(view: View, chain: Chain, piece: Piece) -> None:
    kind = APPLIES[piece.type]
    prompts = ("conditioning",) if kind.single else ("positive", "negative")
    chain.problems += problems_of(view, piece, ("control_net", "image", *prompts), kind.without)
    if piece.id == chain.nodes[0]:
        # Also of a bypassed one: what is behind it needs the prompts.
        chain.problems += [
            f"{piece.label}: nothing is wired to its {name}"
            for name in prompts
            if name not in piece.wires and piece.mode == BYPASSED
        ]
    if view.slots(piece.id) - set(range(len(prompts))):
        chain.problems.append(f"{piece.label}: its output model_opt is used")
    chain.problems += _keyframes(view, piece)
    names = PLAIN if piece.type != "ControlNetApply" else {"strength": "strength"}
    settings, wrong = ranged(piece, names)
    chain.problems += wrong
    wires = {"hint": "image", "mask": kind.mask}
    chain.lines.append(
        Line(
            on=piece.mode != BYPASSED,
            settings=settings,
            net=piece.wires.get("control_net"),
            wires={name: piece.wires[old] for name, old in wires.items() if old in piece.wires},
            vae=piece.wires.get(kind.vae),
        )
    )


def _keyframes(view: View, piece: Piece) -> list[str]:
    """Of loaders that put keyframes on the net."""
    port = view.source(piece, "control_net")
    loader = view.pieces.get(port.node) if port is not None else None
    return [
        f"{loader.label}: {name} has no equal in a row"
        for name in _KEYFRAMES
        if loader is not None and name in loader.wires and "Loader" in loader.type
    ]


def _lay_single(view: View, chain: Chain, first: Piece, last: Piece) -> None:
    """Which prompts a chain of one conditioning acts on, by where it ends."""
    if "conditioning" in first.wires:
        chain.wires = {"positive": first.wires["conditioning"]}
    chain.moved = {Port(last.id, 0): POSITIVE}
    ends = [_end(view, use) for use in view.uses(Port(last.id, 0))]
    negatives = set[Port | None]()
    for end in ends:
        if isinstance(end, str):
            chain.problems.append(f"{last.label}: {end}")
            return
        if end is not None:
            negatives.add(end.wires.get("negative"))
    if not negatives:
        return
    if len(negatives) > 1 or None in ends:
        chain.problems.append(
            f"{last.label}: it ends at several samplers, and acts on different negative prompts"
        )
        return
    (negative,) = negatives
    whole = [("prompt", chain.wires.get("positive")), ("negative prompt", negative)]
    chain.problems += [
        f"{last.label}: it is not known whether its {what} is one prompt ({why})"
        for what, port in whole
        if (why := _not_one(view, port))
    ]
    if negative is not None:
        chain.wires["negative"] = negative
        samplers = [one for one in ends if one is not None and not isinstance(one, str)]
        chain.rewired = {Use(one.id, "negative"): NEGATIVE for one in samplers}


def _end(view: View, use: Use) -> Piece | str | None:
    """Where the chain ends: at a sampler whose negative prompt it acts on as well; at what makes it
    act on the prompt alone (None); or the words for anything else."""
    piece = view.pieces.get(use.node)
    if use.node == EXIT or piece is None:
        return "it ends at an output of the subgraph, and what follows is not known"
    if piece.type in APPLIES and not APPLIES[piece.type].single:
        # It takes the mark away, unless it does nothing.
        if piece.mode == 0 and _is_above_0(piece):
            return None
    elif _ENDS.search(piece.type):
        if use.name in ("conditioning", "negative"):
            return None
        if use.name == "positive":
            return None if _has_control(view, view.source(piece, "negative")) else piece
    elif piece.type == "FluxGuidance":
        further = [_end(view, one) for one in view.uses(Port(piece.id, 0))]
        if len(further) == 1:
            return further[0]
    return f"it ends at {piece.label}, and whether it acts on the negative prompt is not known"


def _is_above_0(piece: Piece) -> bool:
    strength = piece.fields.get("strength")
    return isinstance(strength, (int, float)) and strength > 0


def _has_control(view: View, port: Port | None) -> bool:
    """Whether a conditioning surely comes with a control of its own."""
    piece = view.pieces.get(port.node) if port is not None else None
    return piece is not None and piece.type in APPLIES and piece.mode == 0 and _is_above_0(piece)


def _not_one(view: View, port: Port | None) -> str:
    """What makes it unsure that a conditioning is one prompt without an area and control; or ""."""
    waiting, seen = [port], set[str]()
    while waiting:
        port = view.origin(waiting.pop())
        piece = view.pieces.get(port.node) if port is not None else None
        if piece is None or piece.mode == MUTED:
            return "it comes from outside" if port is not None else "nothing is wired to it"
        if piece.id in seen:
            continue
        seen.add(piece.id)
        known = _ONE_PROMPT.search(piece.type) and not _NOT_ONE_PROMPT.search(piece.type)
        if not known or piece.mode == BYPASSED:
            return f"it comes from {piece.label}"
        waiting += [one for name, one in piece.wires.items() if name.startswith("conditioning")]
    return ""


def strengths(piece: Piece) -> Json:
    """The strength as it is written."""
    return piece.fields.get("strength")
