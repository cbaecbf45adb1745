"""A whole stack in one node: a row for each control, drawn and dragged by `web/js/rows.js`."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from PIL import Image

from ..conversion.known import EMPTY_ROWS, MOST_ROWS
from ..ground.errors import UserError, named
from ..hosts import host
from ..inspection.timeline import thumbnail
from ..model_patch.conditioning import Conditioning, apply_to_conditioning
from ..model_patch.control import Control, ControlStack
from ..model_patch.patch import AnyModel, patch
from .drawn import DRAWN, Drawn, require_whole
from .line import line
from .rows import Row, rows_of
from .stack import CATEGORY, FACTOR, NETS
from .stack_list import STACK, STACKS, list_of, list_or_why, stack_of
from .steps import remember
from .upstream import HIDDEN, Prompt, file_behind, window
from .widgets import filled

ROWS = "CONTROLSTACK_ROWS"
MODEL, WHOLE, POSITIVE, NEGATIVE, LIST = range(5)
"""The outputs."""

SOCKETS: dict[str, tuple[str, str]] = {
    "hint": (
        "IMAGE",
        "The hint of this row: the picture to follow, drawn as its ControlNet expects it.",
    ),
    "control_net": (NETS, "The ControlNet of this row, instead of a file chosen in it."),
    "mask": ("MASK", "Where in the picture this row acts: white fully, black not at all."),
    "factor": (FACTOR, "What multiplies the strength of this row: Control Steps, Control Mask ..."),
    "inpaint_mask": (
        "MASK",
        "Only for inpainting ControlNets in this row: white is drawn anew.",
    ),
    "inpaint_image": (
        "IMAGE",
        "Only for Z-Image Fun ControlNets made for inpainting: the picture to draw in.",
    ),
}
"""What each row has of its own, as `hint_1`: the type and words."""

_OF_ROW = re.compile(rf"({'|'.join(SOCKETS)})_(\d+)")


@filled
class ControlStackRows:
    """Many controls, one node."""

    DESCRIPTION = (
        "A whole stack of ControlNets in one node: a row for each, with its file, hint, strength "
        "and range, to be switched, dragged and reordered. Wire the model through it, or the "
        "prompts."
    )
    SEARCH_ALIASES = (
        *("controlnet", "control net", "cn", "apply controlnet", "use controlnet"),
        *("controlnet stack", "multi controlnet", "stack controlnets", "控制网络", "多重控制"),
    )
    CATEGORY = CATEGORY
    FUNCTION = "apply"
    RETURN_TYPES = ("MODEL", STACK, "CONDITIONING", "CONDITIONING", "CONTROL_NET_STACK")
    RETURN_NAMES = ("model", "stack", "positive", "negative", "control_net_stack")
    OUTPUT_TOOLTIPS = (
        "The model with its controls, for a KSampler.",
        "All controls, for another ControlNet Stack or Control Timeline.",
        "The prompt with the controls.",
        "The negative prompt with the controls.",
        "The controls as the list that Efficiency Nodes, Comfyroll and others take.",
    )

    MODEL_FILES: ClassVar[Mapping[str, str]] = {"controls": "controlnet"}

    def __init__(self) -> None:
        self._nets: dict[str, Any] = {}

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets, with the sockets of as many rows as there may be."""
        rows = {
            f"{name}_{number}": (kind, {"lazy": True, "tooltip": words})
            for number in range(1, MOST_ROWS + 1)
            for name, (kind, words) in SOCKETS.items()
        }
        return {
            "required": {
                "controls": (
                    ROWS,
                    {
                        "default": EMPTY_ROWS,
                        "files": host.control_names(),
                        "tooltip": "The rows, from top to bottom. Each acts as an Add ControlNet.",
                    },
                ),
            },
            "optional": {
                "model": (
                    "MODEL",
                    {"tooltip": "The model to control. It is not changed. Or wire the prompts."},
                ),
                "stack": (STACKS, {"tooltip": "Controls that come before these."}),
                "positive": (
                    "CONDITIONING",
                    {
                        "tooltip": "The prompt to control, instead of a model: for tiled "
                        "upscalers, detailers and others that sample a picture in parts."
                    },
                ),
                "negative": (
                    "CONDITIONING",
                    {"tooltip": "The negative prompt. Leave it open to control the prompt alone."},
                ),
                "vae": (
                    "VAE",
                    {
                        "tooltip": "Only for ControlNets that read their hint as a latent: those "
                        "of SD 3, Flux, Qwen-Image, Z-Image and Wan. Take the VAE of the model."
                    },
                ),
                **rows,
                "record": (
                    "BOOLEAN",
                    {
                        "default": False,
                        "advanced": True,
                        "tooltip": "Measures what each control does while the model samples, for "
                        "Control Report. The picture stays the same.",
                    },
                ),
            },
            "hidden": {**HIDDEN, **DRAWN},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, controls: Any = None) -> bool | str:
        """Whether the rows can be read and the files of those that are on are there."""
        if controls is None:  # through a link: `apply` will see
            return True
        try:
            rows = rows_of(controls)
        except UserError as error:
            return str(error)
        wrong = [
            f"row {number}: {said}"
            for number, row in enumerate(rows, start=1)
            if row.on and row.file is not None and (said := _refusal(row.file))
        ]
        return "\n".join(wrong) or True

    def check_lazy_status(self, controls: Any, **wires: Any) -> list[str]:
        """Which inputs have to be made: none of rows that are off, no net beside a file."""
        on = {row.id: row for row in rows_of(controls) if row.on}
        parts = {name: _OF_ROW.fullmatch(name) for name in wires}
        return [
            name
            for name, part in parts.items()
            if part is not None
            and wires[name] is None
            and (row := on.get(int(part[2]))) is not None
            and (part[1] != "control_net" or row.file is None)
        ]

    def apply(
        self,
        controls: Any,
        *,
        record: bool,
        model: AnyModel | None = None,
        stack: ControlStack = (),
        positive: Conditioning | None = None,
        negative: Conditioning | None = None,
        vae: Any = None,
        prompt: Prompt | None = None,
        unique_id: str | None = None,
        extra_pnginfo: Drawn | None = None,
        **wires: Any,
    ) -> dict[str, Any]:
        """The stack and what it is put on; `wires` are the rows' sockets, by `SOCKETS`.

        Raises:
            UserError: a row that cannot act; a model and a prompt at once; an output that is used
                while what goes in there is not wired.
        """
        require_whole(extra_pnginfo, unique_id, STACK)
        stack = stack_of(stack)
        prompts = positive is not None or negative is not None
        if model is not None and prompts:
            raise UserError(
                "a model and a prompt are wired at once, so every control would act twice: wire "
                "the model, or the prompts."
            )
        given = {MODEL: model, POSITIVE: positive, NEGATIVE: negative}
        for slot, what in given.items():
            if what is None and _is_used(prompt, unique_id, slot):
                name = self.RETURN_NAMES[slot]
                raise UserError(
                    f"its output {name} is used, and nothing is wired to its input {name}: wire "
                    "what goes in there too."
                )
        rows = rows_of(controls)
        before = tuple(replace(one, vae=vae) if one.vae is None else one for one in stack)
        named_files = {row.file for row in rows if row.on}
        self._nets = {file: net for file, net in self._nets.items() if file in named_files}

        def file_of(row: Row) -> str:
            return row.file or file_behind(prompt, unique_id, f"control_net_{row.id}")

        own = controls_of(rows, wires, len(stack), vae, self._net, file_of)
        whole = (*before, *own)
        patched: AnyModel | None = None
        seen: dict[str, Any] = {"controlstack_rows": _seen(rows, own)}
        if model is not None:
            seen["controlstack_model"] = [remember(model)]
            file = file_behind(prompt, unique_id, "model")
            patched = patch(model, whole, model_file=file, window=window, record=record)
        listed = (list_of if _is_used(prompt, unique_id, LIST) else list_or_why)(whole)
        laid = (positive, negative)
        if prompts:
            made = apply_to_conditioning(whole, positive or [], negative or [], window=window)
            laid = made[0], made[1]
        return {"ui": seen, "result": (patched, whole, *laid, listed)}

    def _net(self, row: Row, wired: Any) -> Any:
        """The row's net, loaded once for as long as a row names its file."""
        if not row.on:
            return None
        if row.file is None:
            if wired is None:
                raise UserError(
                    f"it has no ControlNet: choose a file, or wire one to control_net_{row.id}."
                )
            return wired
        if row.file not in self._nets:
            self._nets[row.file] = host.current().load_control_net(row.file)
        return self._nets[row.file]


def controls_of(
    rows: Sequence[Row],
    wires: Mapping[str, Any],
    before: int,
    vae: Any,
    net_of: Callable[[Row, Any], Any],
    file_of: Callable[[Row], str],
) -> ControlStack:
    """The rows as controls, which come after `before` others.

    `wires` are the rows' sockets by name; `net_of` gives a row's net, told what is wired to it.

    Raises:
        UserError: a row that cannot act; names it.
    """
    made = []
    for number, row in enumerate(rows, start=1):
        with named(f"row {number}"):
            own = {name: wires.get(f"{name}_{row.id}") for name in SOCKETS}
            if row.on and own["hint"] is None:
                raise UserError(
                    f"it is on and has no hint: wire a picture to hint_{row.id}, or switch the "
                    "row off."
                )
            made.append(
                line(
                    net_of(row, own["control_net"]),
                    own["hint"],
                    before + number,
                    file_of(row),
                    strength=row.strength,
                    span=row.span,
                    mode=row.mode,
                    area_hint=row.area_hint,
                    frames=row.frames,
                    union_type=row.union_type,
                    enabled=row.on,
                    mask=own["mask"],
                    vae=vae,
                    inpaint_mask=own["inpaint_mask"],
                    factor=(*(own["factor"] or ()), *row.factors),
                    inpaint_image=own["inpaint_image"],
                )
            )
    return tuple(made)


def _refusal(file: str) -> str:
    """Why `file` can be no control; "" where it can."""
    try:
        host.current().check_control_net(file)
    except UserError as error:
        return str(error)
    return ""


def _is_used(prompt: Prompt | None, unique_id: str | None, slot: int) -> bool:
    """Whether an input of any node comes from this output of the node."""
    return any(
        isinstance(value, list) and value == [str(unique_id), slot]
        for node in (prompt or {}).values()
        for value in node.get("inputs", {}).values()
    )


def _seen(rows: Sequence[Row], controls: Sequence[Control]) -> list[dict[str, Any]]:
    """Of each row that is on, its hint as the front end shows it."""
    return [
        {"id": row.id, "hint": _address(control)}
        for row, control in zip(rows, controls, strict=True)
        if row.on
    ]


def _address(control: Control) -> str:
    """A small picture of the hint as a data URL: a few KB, and no file to be kept."""
    picture = thumbnail(control.hint.movedim(1, -1))
    if picture is None:
        return ""
    jpeg = io.BytesIO()
    Image.fromarray(picture.pixels).save(jpeg, format="jpeg", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()
