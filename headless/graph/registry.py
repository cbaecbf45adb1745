"""What a V1 node class declares, read once into plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from .model import Json

NodeClass: TypeAlias = type[Any]

# Input types that ComfyUI's canvas draws as a field to type into.
WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})


@dataclass(frozen=True)
class InputSpec:
    """One input: its type, and for a choice (COMBO) what there is to choose from."""

    name: str
    type: str
    required: bool
    choices: tuple[Json, ...]
    options: Mapping[str, Any]

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
        if self.type == "COMBO":
            return self.choices[0] if self.choices else None
        blank: dict[str, Json] = {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}
        return blank.get(self.type)

    @property
    def has_seed_control(self) -> bool:
        """Whether the canvas puts a "control after generate" field behind it."""
        is_seed = self.type == "INT" and self.name in ("seed", "noise_seed")
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

    def get(self, node_type: str) -> NodeSpec | None:
        """The spec of `node_type`, or None for a type this host does not know."""
        cls = self._classes.get(node_type)
        return None if cls is None else read_spec(node_type, cls)

    def spec(self, node_type: str) -> NodeSpec:
        """The spec of `node_type`; KeyError for a type this host does not know."""
        return read_spec(node_type, self._classes[node_type])


def read_spec(node_type: str, cls: NodeClass) -> NodeSpec:
    """Read the V1 attributes of `cls` (INPUT_TYPES, RETURN_TYPES, FUNCTION, OUTPUT_NODE, ...)."""
    declared = cls.INPUT_TYPES()
    outputs = tuple(_type_name(item) for item in getattr(cls, "RETURN_TYPES", ()))
    names = tuple(getattr(cls, "RETURN_NAMES", ()) or outputs)
    inputs = {
        name: _read_input(name, info, required=section == "required")
        for section in ("required", "optional")
        for name, info in declared.get(section, {}).items()
    }
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
    """The core nodes of the embedded host and this package's own."""
    from ...nodes import NODE_CLASS_MAPPINGS as OURS
    from ..core_nodes import CORE_NODES as CORE

    return Registry({**CORE, **OURS})


def _read_input(name: str, info: tuple[Any, ...], *, required: bool) -> InputSpec:
    declared = info[0]
    options: Mapping[str, Any] = info[1] if len(info) > 1 else {}
    listed = declared if isinstance(declared, (list, tuple)) else options.get("options", ())
    choices = tuple(listed) if _type_name(declared) == "COMBO" else ()
    return InputSpec(name, _type_name(declared), required, choices, options)


def _type_name(declared: object) -> str:
    """A list of choices is what ComfyUI calls a COMBO."""
    return "COMBO" if isinstance(declared, (list, tuple)) else str(declared)
