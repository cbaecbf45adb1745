"""An abstract run of a graph: light nodes really run, heavy ones act on stand-ins, and a node that
is not known passes on what it was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import torch

from ...ground.errors import UserError
from ...ground.wording import listing
from ...nodes import EVERY_NODE as OURS
from ..core_nodes import CORE_NODES as CORE
from ..graph.call import call_node
from ..graph.model import Graph, Link, Node
from ..graph.named_files import names_none
from ..graph.own_check import hidden, own_check
from ..graph.registry import InputSpec, NodeSpec, Registry, types_fit
from ..graph.values import check_choice, check_range, convert
from ..pack_nodes import PACK_NODES as PACKS
from .acts import ACTS, FURTHER, apply_to_both, apply_to_one, sample
from .values import (
    KINDS,
    NO_MASK,
    NO_PICTURE,
    UNKNOWN,
    Latent,
    Model,
    Net,
    Sampled,
    Unknown,
    fresh,
    passed_on,
    single,
)

ON_LEVELS = ("SamplerCustom", "SamplerCustomAdvanced")
SAMPLERS = ("KSampler", "KSamplerAdvanced", *ON_LEVELS)
PICTURES = (
    *("LoadImage", "LoadImageMask", "ImageScale", "ImageScaleBy", "ImageInvert", "EmptyImage"),
    *("ImageScaleToTotalPixels", "ImageScaleToMaxDimension", "ImageCrop", "ImageFlip"),
    *("ImageRotate", "ImagePadForOutpaint", "ImageBlur", "ImageSharpen", "ImageBlend"),
    *("ImageCompositeMasked", "ImageBatch", "RepeatImageBatch", "ImageFromBatch", "MaskToImage"),
    *("ImageToMask", "InvertMask", "GrowMask", "FeatherMask", "SolidMask", "MaskComposite"),
    *("CropMask", "ThresholdMask", "GetImageSize"),
)
"""Core nodes that are run for their pictures, and for a picture's size."""
LEVELS = (
    *("ExponentialScheduler", "PolyexponentialScheduler", "LaplaceScheduler", "VPScheduler"),
    *("AlignYourStepsScheduler", "FlipSigmas", "SetFirstSigma", "ManualSigmas"),
)
"""Core nodes that are run for their noise levels."""
TEXTS = ("ControlStackLoadPreset", "ControlStackSweep")
"""Nodes of ours that are run for their text or numbers; of a list the first counts."""

_VALUES = {"CONTROL_FACTOR", "CONTROL_STACK"}
_KSAMPLER, _APPLY, _APPLY_ONE = "KSampler", "ControlNetApplyAdvanced", "ControlNetApply"
_LIKE: Mapping[str, Callable[..., Sequence[Any]]] = {
    _KSAMPLER: sample,
    _APPLY: apply_to_both,
    _APPLY_ONE: apply_to_one,
}
_PICTURES = {"IMAGE", "MASK", "LATENT"}
_NAMED = {
    **{"model": "MODEL", "control_net": "CONTROL_NET", "image": "IMAGE", "latent_image": "LATENT"},
    **dict.fromkeys(("positive", "negative", "conditioning"), "CONDITIONING"),
    **{"steps": "INT", "denoise": "FLOAT", "cfg": "FLOAT", "strength": "FLOAT"},
    **{"start_percent": "FLOAT", "end_percent": "FLOAT", "scheduler": "STRING"},
}
"""Inputs of the core's samplers and appliers, which other packs call the same."""

_LOADS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "controlnet": ("CONTROL_NET", Net),
    "checkpoints": ("MODEL", lambda name: Model(name, "checkpoints")),
    "diffusion_models": ("MODEL", lambda name: Model(name, "diffusion_models")),
}
"""A kind of model files -> what a loader makes of one."""
_FILES = {name: kind for cls in CORE.values() for name, kind in cls.MODEL_FILES.items()}
"""The inputs by which the core's loaders name files, which other packs call the same."""
_UNSEEN = {"TIMESTEP_KEYFRAME", "LATENT_KEYFRAME", "CONTROL_NET_WEIGHTS", "CONTROL_NET_STACK"}
"""What other packs' nodes change or bring, and no plan shows."""


def planning_registry() -> Registry:
    """The embedded host's nodes, and those that only a plan knows."""
    return Registry({**FURTHER, **PACKS, **CORE, **OURS})


class Walk:
    """The values of a graph's nodes, made from the sources on.

    Attributes:
        notes: what was left out, said once each.
    """

    def __init__(self, graph: Graph, registry: Registry, glance: bool = False) -> None:
        """With `glance` no picture is read, no hint is made, and a value that a node refuses is
        left out, with a note."""
        self._graph = graph
        self._glance = glance
        self._specs = registry.specs(graph)
        self._files = {kind: registry.model_files(kind) for kind in self._specs}
        self._outputs: dict[str, Sequence[Any]] = {}
        # Of nodes that are not known: what they could pass on, by type.
        self._passed: dict[str, Mapping[str, Sequence[Any]]] = {}
        self.notes: dict[str, None] = {}

    def samplers(self) -> list[tuple[Node, Sampled]]:
        """Each node that samples and what it does; what waits for the latent of another comes
        after it.

        Raises:
            UserError: links in a circle; a value that a node refuses. Names the node.
        """
        wanted = [node for node in self._graph.nodes.values() if self._samples(node)]
        for node in self._graph.nodes.values():
            unknown = self._specs.get(node.type) is None
            if unknown and node not in wanted and self._may_sample(node):
                self._note(f"{node.label} is not known here; if it samples, it has no plan")
        edges: dict[str, list[str]] = {}
        waiting = [node.id for node in wanted]
        while waiting:
            key = waiting.pop()
            if key not in edges:
                edges[key] = self._origins(self._graph.nodes[key])
                waiting += edges[key]
        for node in self._ordered(edges):
            self._make(node)
        found = [(node, made) for node in wanted if (made := self._sampled(node)) is not None]
        return sorted(found, key=lambda one: one[1].passes)

    def _sampled(self, node: Node) -> Sampled | None:
        made = self._outputs.get(node.id, ())
        return next((one for one in made if isinstance(one, Sampled)), None)

    def _ordered(self, edges: Mapping[str, Sequence[str]]) -> list[Node]:
        try:
            return [self._graph.nodes[key] for key in TopologicalSorter(edges).static_order()]
        except CycleError as error:
            nodes = [self._graph.nodes[key].label for key in error.args[1]]
            raise UserError(
                f"the links go in a circle: {' -> '.join(nodes)}; remove one of them"
            ) from error

    def _samples(self, node: Node) -> bool:
        if node.type in SAMPLERS:
            return True
        # It has what a KSampler is given.
        return self._may_sample(node) and {"steps", "scheduler"} <= node.inputs.keys()

    def _may_sample(self, node: Node) -> bool:
        return self._is_foreign(node) and {"model", "positive"} <= node.links.keys()

    def _is_foreign(self, node: Node) -> bool:
        """Whether it is another pack's, so that only its inputs tell what it does."""
        return self._specs.get(node.type) is None or node.type in PACKS

    def _origins(self, node: Node) -> list[str]:
        origins = (link.node for link in node.links.values())
        return list(dict.fromkeys(one for one in origins if one in self._graph.nodes))

    def _make(self, node: Node) -> None:
        spec = self._specs.get(node.type)
        if self._is_foreign(node):
            self._make_foreign(node, spec)
            return
        assert spec is not None
        known = node.type in ACTS or _is_light(node, spec, not self._glance)
        inputs = self._given(node, spec, checked=known)
        if node.type in ACTS:
            self._outputs[node.id] = _labelled(node, lambda: ACTS[node.type](**inputs))
        elif known:
            self._outputs[node.id] = self._run(node, spec, inputs)
        else:
            self._outputs[node.id] = _given_out(spec, (), list(inputs.values()))

    def _make_foreign(self, node: Node, spec: NodeSpec | None) -> None:
        """A node of another pack: one like the core's is taken for it, others pass on; of those
        that run here what they load is known."""
        links = node.links
        plain = {name: value for name, value in node.inputs.items() if name not in links}
        if spec is None:
            named = {n: self._pick(links[n], kind) for n, kind in _NAMED.items() if n in links}
            inputs = {**plain, **named}
        else:
            inputs = self._given(node, spec, checked=False)
            self._say_unseen(node, spec, links)
        like = "" if inputs.get("switch") == "Off" else self._like(node, links)
        if like:
            self._say_like(node, like, spec is not None)
            made = _labelled(node, lambda: _LIKE[like](**inputs))
            self._outputs[node.id] = (
                made if spec is None else _given_out(spec, made, list(inputs.values()))
            )
        elif spec is None or "*" in spec.outputs:
            passed = {kind: [self._pick(one, kind) for one in links.values()] for kind in KINDS}
            made_new = {
                kind: [value]
                for kind, value in _loaded(_FILES, plain).items()
                if all(isinstance(one, Unknown) for one in passed[kind])
            }
            self._passed[node.id] = {**passed, **made_new, "value": [_value(plain)]}
        else:
            made = tuple(_loaded(self._files[node.type], inputs).values())
            self._outputs[node.id] = _given_out(spec, made, list(inputs.values()))

    def _like(self, node: Node, links: Mapping[str, Link]) -> str:
        """The core's node that a node is like, by what it is given; "" for none."""
        if self._samples(node):
            return _KSAMPLER
        if {"control_net", "positive"} <= links.keys():
            return _APPLY
        return _APPLY_ONE if {"control_net", "conditioning"} <= links.keys() else ""

    def _say_like(self, node: Node, like: str, known: bool) -> None:
        what = "a KSampler" if like == _KSAMPLER else "an Apply ControlNet"
        if known:
            self._note(f"{node.label} is planned as {what}")
            return
        unread = like != _KSAMPLER and "strength" not in node.inputs
        more = "; its fields have no names, so strength and range stand at 1 and 0 to 1"
        said = f"{node.label} is not known here: it is taken for {what}"
        self._note(f"{said}{more if unread else ''}")

    def _say_unseen(self, node: Node, spec: NodeSpec, links: Mapping[str, Link]) -> None:
        unseen = [name for name in links if name in spec.inputs]
        unseen = [name for name in unseen if spec.inputs[name].type in _UNSEEN]
        if unseen and KINDS.keys() & set(spec.outputs):
            self._note(f"{node.label}: what comes by {listing(unseen)} is not shown in this plan")

    def _fits(self, link: Link, wanted: str) -> bool:
        """Whether the output that a link comes from is declared as one that may go there."""
        spec = self._specs.get(self._graph.nodes[link.node].type)
        return (
            spec is None
            or link.slot >= len(spec.outputs)
            or types_fit(spec.outputs[link.slot], wanted)
        )

    def _pick(self, link: Link, wanted: str) -> Any:
        """What a link brings as a `wanted`; unknown where it does not."""
        outputs, kind = self._outputs.get(link.node), single(wanted)
        if outputs is not None:
            value = outputs[link.slot] if link.slot < len(outputs) else UNKNOWN
            right = isinstance(value, (Unknown, KINDS.get(kind, object)))
            return value if right and self._fits(link, wanted) else UNKNOWN
        passed = self._passed.get(link.node)
        if passed is None:
            return UNKNOWN
        if kind in ("INT", "FLOAT", "STRING", "BOOLEAN"):  # of a primitive
            return passed["value"][0]
        return passed_on(kind, passed.get(kind, ()), link.slot)

    def _fed(self, node: Node, name: str, link: Link, kind: str) -> Any:
        if link.node not in self._graph.nodes:
            raise UserError(
                f"{node.label}: its {name} comes from node {link.node}, which is not in this "
                "workflow; connect it again"
            )
        value = self._pick(link, kind)
        if not isinstance(value, Unknown):
            return value
        counted = kind in ("INT", "FLOAT", "BOOLEAN", "SIGMAS", "CURVE")
        foreign = link.node in self._passed or self._is_foreign(self._graph.nodes[link.node])
        if foreign and counted and node.type not in ON_LEVELS:
            origin = self._graph.nodes[link.node]
            what = "is not known here" if self._specs.get(origin.type) is None else "no plan runs"
            self._note(
                f"{node.label}: its {name} comes from {origin.label}, which {what}, and is left "
                "out of this plan"
            )
        return value if value.why else fresh(kind)

    def _given(self, node: Node, spec: NodeSpec, checked: bool) -> dict[str, Any]:
        """The node's inputs; a value that is not known is left out, so that the default holds."""
        judge = own_check(spec)
        found: dict[str, Any] = {}
        for name, declared in spec.inputs.items():
            value = node.inputs.get(name)
            if isinstance(value, Link):
                value = self._fed(node, name, value, declared.type)
                if not isinstance(value, Unknown) or declared.type in ("IMAGE", "MASK"):
                    found[name] = value
                if isinstance(value, Unknown) and value.why and not set(spec.outputs) & _PICTURES:
                    self._note(f"{value.why.rstrip('.')}; so {name} of {node.label} is not shown")
            elif value is not None and declared.takes_value:
                try:
                    value = convert(declared, value)
                    if checked:
                        check_range(declared, value)
                    # The core's menus hold names of files, and of samplers of later versions.
                    if checked and node.type in OURS and not judge.exempts(name):
                        check_choice(declared, value)
                except UserError as error:
                    said = f"{node.label}: input {name} {error.sentence}"
                    if checked and self._glance:
                        self._note(f"{said}; its default stands for it")
                        continue
                    if checked:
                        raise UserError(said) from error
                found[name] = value
        return found

    def _run(self, node: Node, spec: NodeSpec, inputs: dict[str, Any]) -> Sequence[Any]:
        makes_values = _makes_values(spec)
        missing = [value for value in inputs.values() if isinstance(value, Unknown)]
        if missing and not makes_values:
            return missing[:1] * len(spec.outputs)
        given = {
            name: _standing(value, spec.inputs[name])
            for name, value in inputs.items()
            if not isinstance(value, Latent)  # has no pixels: a hint is drawn at a size of its own
        }
        for name, declared in spec.inputs.items():
            if declared.required and name not in given:
                given[name] = _standing(UNKNOWN, declared)
        if any(declared.required and given[n] is None for n, declared in spec.inputs.items()):
            return [UNKNOWN] * len(spec.outputs)
        arguments = {name: [value] for name, value in given.items()}
        arguments |= hidden(node, spec, self._graph)
        try:
            with torch.no_grad():
                outcome = call_node(spec.cls(), spec, arguments)
        except UserError as error:
            if makes_values:
                raise error.at(node.label) from error
            return [Unknown(f"{node.label}: {error.sentence}")] * len(spec.outputs)
        return [values[0] if values else UNKNOWN for values in outcome.outputs]

    def _note(self, words: str) -> None:
        self.notes[words] = None


def _is_light(node: Node, spec: NodeSpec, pictures: bool) -> bool:
    """Whether it really runs: `pictures` and hints without a network, where they are wanted, and
    what makes values of ours."""
    if node.type in LEVELS or (pictures and node.type in PICTURES):
        return True
    if node.type not in OURS:
        return False
    entry = getattr(spec.cls, "PREPROCESSOR", None)
    of_hints = pictures and entry is not None and entry.learning is None
    return of_hints or node.type in TEXTS or _makes_values(spec)


def _makes_values(spec: NodeSpec) -> bool:
    """Whether it gives factors or a stack, and beside them at most a text."""
    outputs = set(spec.outputs)
    return bool(outputs & _VALUES) and outputs <= _VALUES | {"STRING"}


def _loaded(files: Mapping[str, str], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a node loads, by type: `files` are its inputs that name files, with their kinds."""
    made: dict[str, Any] = {}
    for name, kind in files.items():
        file = inputs.get(name)
        if kind in _LOADS and isinstance(file, str) and not names_none(file):
            wire, load = _LOADS[kind]
            made.setdefault(wire, load(file))
    return made


def _given_out(spec: NodeSpec, made: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    """A node's outputs: what it `made`, each at the next output of its type, and at the others what
    it was given."""
    left, found = list(made), list[Any]()
    for slot, kind in enumerate(spec.outputs):
        fits = KINDS.get(single(kind))
        at = next((i for i, one in enumerate(left) if fits and isinstance(one, fits)), None)
        same = spec.outputs[:slot].count(kind)
        found.append(passed_on(kind, given, same) if at is None else left.pop(at))
    return found


def _value(plain: Mapping[str, Any]) -> Any:
    value = plain.get("value")
    return value if isinstance(value, (bool, int, float, str)) else UNKNOWN


def _labelled(node: Node, act: Callable[[], Sequence[Any]]) -> Sequence[Any]:
    try:
        return act()
    except UserError as error:
        raise error.at(node.label) from error


def _standing(value: Any, declared: InputSpec) -> Any:
    """A value that our nodes can take where there is none."""
    if not isinstance(value, Unknown):
        return value
    stands: dict[str, Any] = {"IMAGE": NO_PICTURE, "MASK": NO_MASK, "CONTROL_NET": Net()}
    return stands.get(single(declared.type), declared.default)
