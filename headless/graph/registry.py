"""What a V1 node class declares, read once into plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, cast

from .model import Graph, Json

NodeClass: TypeAlias = type[Any]

DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
"""ComfyUI's type of a choice that brings inputs of its own: those of `preprocessor` are called
`preprocessor.low_threshold`, as long as it stands at the choice that has them."""

GROWING = "COMFY_AUTOGROW_V3"
"""ComfyUI's type of a socket that comes again when it is wired: those of `images` are called
`images.image0`, `images.image1` ..., as many as its template names."""

# Input types that ComfyUI's canvas draws as a field to type into.
WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", DYNAMIC_COMBO})


SEED_INPUTS = ("seed", "noise_seed")
"""What inputs are called that are the seed of a node."""


@dataclass(frozen=True)
class InputSpec:
    """One input: its type, and for a choice what there is to choose from; `brings` are the further
    inputs of each choice, by their whole names."""

    name: str
    type: str
    required: bool
    choices: tuple[Json, ...]
    options: Mapping[str, Any]
    brings: Mapping[str, tuple[InputSpec, ...]] = field(default_factory=dict)

    @property
    def is_choice(self) -> bool:
        """Whether it is one of a menu."""
        return self.type in ("COMBO", DYNAMIC_COMBO)

    def brought_by(self, value: object) -> tuple[InputSpec, ...]:
        """The further inputs that there are while it stands at `value`."""
        return self.brings.get(value, ()) if isinstance(value, str) else ()

    def all_brought(self) -> Iterator[InputSpec]:
        """The further inputs of every choice, and theirs."""
        for brought in self.brings.values():
            for one in brought:
                yield one
                yield from one.all_brought()

    @property
    def is_widget(self) -> bool:
        """Whether the canvas has a field for it, and so a value of its own in a UI file."""
        return self._has_field and not self.options.get("forceInput", False)

    @property
    def takes_value(self) -> bool:
        """Whether a value may stand in the file for it, and not only a link."""
        kinds = {part.strip() for part in self.type.split(",")}
        return self.type == "*" or self._has_field or bool(kinds & WIDGET_TYPES)

    @property
    def _has_field(self) -> bool:
        """A type of the front end's own, or a pack's that something is in from the start."""
        return self.type in WIDGET_TYPES or "default" in self.options

    @property
    def default(self) -> Json:
        """What the canvas shows in a field that nobody has touched."""
        if "default" in self.options:
            return cast(Json, self.options["default"])
        if self.is_choice:
            return self.choices[0] if self.choices else None
        blank: dict[str, Json] = {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}
        return blank.get(self.type)

    @property
    def has_seed_control(self) -> bool:
        """Whether the canvas puts a "control after generate" field behind it."""
        is_seed = self.type == "INT" and self.name in SEED_INPUTS
        return bool(self.options.get("control_after_generate", is_seed))


@dataclass(frozen=True)
class NodeSpec:
    """A V1 node class: inputs in the canvas's order, outputs, and the method that runs it."""

    type: str
    cls: NodeClass
    inputs: Mapping[str, InputSpec]
    hidden: Mapping[str, str]
    outputs: tuple[str, ...]
    output_names: tuple[str, ...]
    output_is_list: tuple[bool, ...]
    function: str
    is_output: bool
    input_is_list: bool

    @property
    def widgets(self) -> list[InputSpec]:
        """The inputs that have a field, in the order of a UI file's `widgets_values`."""
        return [spec for spec in self.inputs.values() if spec.is_widget]

    def live(self, values: Mapping[str, object]) -> NodeSpec:
        """This node with the inputs that its choices among `values` bring, behind each of them.

        A choice that is not listed, which the node itself may know, brings what it is given.
        """
        if not any(spec.brings for spec in self.inputs.values()):
            return self
        found: dict[str, InputSpec] = {}
        waiting = list(self.inputs.values())
        while waiting:
            spec = waiting.pop(0)
            found[spec.name] = spec
            value = values.get(spec.name, spec.default)
            waiting[:0] = spec.brought_by(value)
            if spec.brings and value not in spec.choices:
                given = [name for name in values if name.startswith(f"{spec.name}.")]
                waiting[:0] = [InputSpec(name, "*", False, (), {}) for name in given]
        return replace(self, inputs=found)

    def requires(self, name: str) -> bool:
        """Whether the node cannot run without its input `name`."""
        return name in self.inputs and self.inputs[name].required


class Registry:
    """The node types a host knows, by id.

    A class's INPUT_TYPES is asked at every look-up: loaders list the files that are there now.
    """

    def __init__(self, mapping: Mapping[str, NodeClass]) -> None:
        self._classes = dict(mapping)

    def __contains__(self, node_type: object) -> bool:
        return node_type in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    @property
    def classes(self) -> Mapping[str, NodeClass]:
        """The classes by their ids."""
        return self._classes

    def class_of(self, node_type: str) -> NodeClass | None:
        """The class of `node_type`, or None for a type this host does not know."""
        return self._classes.get(node_type)

    def model_files(self, node_type: str) -> Mapping[str, str]:
        """The inputs that name files of models, with their kinds ("controlnet"): what the class of
        `node_type` says as MODEL_FILES, nothing for a type this host does not know."""
        found: Mapping[str, str] = getattr(self._classes.get(node_type), "MODEL_FILES", {})
        return found

    def get(self, node_type: str) -> NodeSpec | None:
        """The spec of `node_type`, or None for a type this host does not know."""
        cls = self._classes.get(node_type)
        return None if cls is None else read_spec(node_type, cls)

    def specs(self, *graphs: Graph) -> dict[str, NodeSpec]:
        """By type, the specs of the graphs' nodes; types that this host does not know are not in
        it."""
        types = {node.type for graph in graphs for node in graph.nodes.values()}
        return {one: self.spec(one) for one in types if one in self}

    def spec(self, node_type: str) -> NodeSpec:
        """The spec of `node_type`; KeyError for a type this host does not know."""
        return read_spec(node_type, self._classes[node_type])


def read_spec(node_type: str, cls: NodeClass) -> NodeSpec:
    """Read the V1 attributes of `cls` (INPUT_TYPES, RETURN_TYPES, FUNCTION, OUTPUT_NODE, ...)."""
    declared = cls.INPUT_TYPES()
    outputs = tuple(_type_name(item) for item in getattr(cls, "RETURN_TYPES", ()))
    names = tuple(getattr(cls, "RETURN_NAMES", ()) or outputs)
    inputs = {spec.name: spec for spec in _read_inputs(declared)}
    return NodeSpec(
        type=node_type,
        cls=cls,
        inputs=inputs,
        hidden=dict(declared.get("hidden", {})),
        outputs=outputs,
        output_names=names,
        output_is_list=tuple(getattr(cls, "OUTPUT_IS_LIST", None) or (False,) * len(outputs)),
        function=cls.FUNCTION,
        is_output=bool(getattr(cls, "OUTPUT_NODE", False)),
        input_is_list=bool(getattr(cls, "INPUT_IS_LIST", False)),
    )


def types_fit(given: str, wanted: str) -> bool:
    """Whether an output of type `given` may feed an input of type `wanted`.

    "*" is any type, and "A,B" is either of the two.
    """
    sets = [{part.strip().upper() for part in kind.split(",")} for kind in (given, wanted)]
    return any("*" in kinds or "" in kinds for kinds in sets) or bool(sets[0] & sets[1])


def default_registry() -> Registry:
    """The core nodes of the embedded host, other packs' that it has, and this package's own."""
    from ...nodes import EVERY_NODE as OURS
    from ..core_nodes import CORE_NODES as CORE
    from ..pack_nodes import PACK_NODES as PACKS

    return Registry({**PACKS, **CORE, **OURS})


def _read_inputs(declared: Mapping[str, Any], before: str = "") -> tuple[InputSpec, ...]:
    return tuple(
        one
        for section in ("required", "optional")
        for name, info in declared.get(section, {}).items()
        for one in (
            _grown(before + name, info[1]["template"])
            if info[0] == GROWING
            else [_read_input(before + name, info, required=section == "required")]
        )
    )


def _grown(name: str, template: Mapping[str, Any]) -> Iterator[InputSpec]:
    """All inputs that a growing one may become; the first ones are required."""
    names = template.get("names") or [
        f"{template['prefix']}{number}" for number in range(template["max"])
    ]
    ((section, fields),) = ((key, found) for key, found in template["input"].items() if found)
    (info,) = fields.values()
    for number, own in enumerate(names):
        required = section == "required" and number < template["min"]
        yield _read_input(f"{name}.{own}", info, required=required)


def _read_input(name: str, info: tuple[Any, ...], *, required: bool) -> InputSpec:
    declared = info[0]
    options: Mapping[str, Any] = info[1] if len(info) > 1 else {}
    if declared == DYNAMIC_COMBO:
        brings = {o["key"]: _read_inputs(o["inputs"], f"{name}.") for o in options["options"]}
        return InputSpec(name, DYNAMIC_COMBO, required, tuple(brings), options, brings)
    listed = declared if isinstance(declared, (list, tuple)) else options.get("options", ())
    choices = tuple(listed) if _type_name(declared) == "COMBO" else ()
    return InputSpec(name, _type_name(declared), required, choices, options)


def _type_name(declared: object) -> str:
    """A list of choices is what ComfyUI calls a COMBO."""
    return "COMBO" if isinstance(declared, (list, tuple)) else str(declared)
