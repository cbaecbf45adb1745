"""Load a ControlNet, add it to a stack, apply the stack to a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor

from ..ground.errors import UserError
from ..hosts import host
from ..model_patch.conditioning import Conditioning, apply_to_conditioning
from ..model_patch.control import MODES, ControlStack
from ..model_patch.factors import MAX_STRENGTH, Factor, Span
from ..model_patch.patch import AnyModel, patch
from ..model_patch.view import AREA_HINTS, FRAMES, AreaHint, Frames
from .drawn import DRAWN, Drawn, require_whole
from .lazy_node import node_in
from .line import AUTO, line
from .stack_list import STACK, STACKS, stack_of
from .upstream import HIDDEN, Prompt, file_behind, window
from .widgets import filled

CATEGORY = "ControlStack"
NETS = "CONTROL_NET,MODEL_PATCH"
"""What a line takes: either of the two."""

FACTOR = "CONTROL_FACTOR"


class ControlStackLoader:
    """A file -> CONTROL_NET or MODEL_PATCH, interchangeable with the core's loaders."""

    DESCRIPTION = (
        "Loads a ControlNet file, for Add ControlNet: also those that ComfyUI calls model patches "
        "(Z-Image Fun, Qwen-Image DiffSynth, Anima LLLite, Wan Uni3C). It also fits ComfyUI's own "
        "Apply nodes."
    )
    SEARCH_ALIASES = (
        *("controlnet", "control net", "cn", "load controlnet", "controlnet loader"),
        *("model patch", "load model patch", "控制网络"),
    )
    CATEGORY = CATEGORY
    FUNCTION = "load"
    RETURN_TYPES = (NETS,)
    RETURN_NAMES = ("control_net",)
    MODEL_FILES: ClassVar[Mapping[str, str]] = {"control_net_name": "controlnet"}
    OUTPUT_TOOLTIPS = (
        "The ControlNet, for Add ControlNet or ComfyUI's own Apply node for such a file.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's widgets."""
        tooltip = (
            "A file in models/controlnet or models/model_patches. It must be made for your model's "
            "family: SD 1.5, SDXL, SD 3, Flux, Z-Image ..."
        )
        return {"required": {"control_net_name": (host.control_names(), {"tooltip": tooltip})}}

    @classmethod
    def VALIDATE_INPUTS(cls, control_net_name: str | None = None) -> bool | str:
        """Whether the file is there and can be a control; nothing is loaded. None where the
        name comes through a link: then `load` says what is wrong.
        """
        if control_net_name is None:
            return True
        try:
            host.current().check_control_net(control_net_name)
        except UserError as error:
            return str(error)
        return True

    def load(self, control_net_name: str) -> tuple[Any]:
        """Load the file through the host."""
        return (host.current().load_control_net(control_net_name),)


@filled
class ControlStackAdd:
    """One more control on the stack."""

    DESCRIPTION = (
        "Adds one control to a stack: a ControlNet with its hint, strength, range and mask. Chain "
        "several of these, then use Apply ControlNet Stack once."
    )
    SEARCH_ALIASES = (
        *("controlnet", "control net", "cn", "apply controlnet", "use controlnet"),
        *("controlnet stack", "stack controlnets", "multi controlnet", "控制网络", "多重控制"),
    )
    CATEGORY = CATEGORY
    FUNCTION = "add"
    RETURN_TYPES = (STACK,)
    RETURN_NAMES = ("stack",)
    OUTPUT_TOOLTIPS = ("The stack with this control at its end.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        percent = {"min": 0.0, "max": 1.0, "step": 0.001}
        return {
            "required": {
                "control_net": (
                    NETS,
                    {
                        "lazy": True,
                        "tooltip": "The ControlNet, from a loader; also a model patch that "
                        "controls (Z-Image Fun, Qwen-Image DiffSynth, Anima LLLite, Wan Uni3C).",
                    },
                ),
                "image": (
                    "IMAGE",
                    {
                        "lazy": True,
                        "tooltip": "The hint: the picture to follow, drawn as this ControlNet "
                        "expects it (edges, depth, a skeleton ...).",
                    },
                ),
                "strength": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": MAX_STRENGTH,
                        "step": 0.01,
                        "tooltip": "How strongly it acts: a factor on all it adds. 0 is off.",
                    },
                ),
                "start_percent": (
                    "FLOAT",
                    {
                        "default": 0.0,
                        **percent,
                        "tooltip": "Where in the denoising it begins: 0 is the first noise. As in "
                        "ComfyUI, a share of the noise levels, not of the sampler's steps.",
                    },
                ),
                "end_percent": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        **percent,
                        "tooltip": "Where in the denoising it ends: 1 is the finished picture.",
                    },
                ),
            },
            "optional": {
                "stack": (STACKS, {"tooltip": "The controls so far. Leave it open for the first."}),
                "mask": (
                    "MASK",
                    {
                        "tooltip": "Where in the picture it acts: white fully, black not at all. "
                        "Without a mask, everywhere."
                    },
                ),
                "vae": (
                    "VAE",
                    {
                        "tooltip": "Only for ControlNets that read their hint as a latent: those "
                        "of SD 3, Flux, Qwen-Image, Z-Image and Wan. Take the VAE of the model."
                    },
                ),
                "mode": (
                    list(MODES),
                    {
                        "default": next(iter(MODES)),
                        "advanced": True,
                        "tooltip": "balanced: for prompt and negative prompt alike, as in ComfyUI. "
                        "prompt is more important: less detail from the hint. control is more "
                        "important: the same for the prompt only. CFG resolution weighting: for "
                        "the prompt only, layout more than detail, as in the ControlNet paper; "
                        "cfg_rw is its formula for 512 px.",
                    },
                ),
                "area_hint": (
                    list(AREA_HINTS),
                    {
                        "default": AREA_HINTS[0],
                        "advanced": True,
                        "tooltip": "For prompts with an area of their own. whole: the hint is "
                        "squeezed into the area, as in ComfyUI. crop: the area takes the part of "
                        "the hint that lies in it.",
                    },
                ),
                "inpaint_mask": (
                    "MASK",
                    {
                        "tooltip": "Only for inpainting ControlNets (SD 3, Flux, Qwen-Image, "
                        "Z-Image, Anima): white is drawn anew. The hint is then the picture "
                        "itself, but for Z-Image, which has inpaint_image."
                    },
                ),
                "frames": (
                    list(FRAMES),
                    {
                        "default": FRAMES[0],
                        "tooltip": "For more pictures than hints. repeat: from the first again, as "
                        "in ComfyUI. hold: the last one stays. loop: back and forth. strict: an "
                        "error. In context windows each picture keeps its own hint and mask.",
                    },
                ),
                "union_type": (
                    "STRING",
                    {
                        "default": AUTO,
                        "tooltip": "Only for union ControlNets: what the hint is (canny, depth, "
                        "openpose ...). auto: as the net comes.",
                    },
                ),
                "factor": (
                    FACTOR,
                    {
                        "tooltip": "What multiplies the strength: Control Steps, Control Curve, "
                        "Control Mask ..., or several of them in a row."
                    },
                ),
                "enabled": (
                    "BOOLEAN",
                    {
                        "default": True,
                        "tooltip": "Off: this line does nothing, and what is wired to it is not "
                        "made. The others keep their numbers.",
                    },
                ),
                "inpaint_image": (
                    "IMAGE",
                    {
                        "tooltip": "Only for Z-Image Fun ControlNets made for inpainting: the "
                        "picture to draw in. Where inpaint_mask is white it is drawn anew, and the "
                        "hint guides."
                    },
                ),
            },
            "hidden": {**HIDDEN, **DRAWN},
        }

    def check_lazy_status(
        self, enabled: bool = True, control_net: Any = None, image: Any = None, **_: Any
    ) -> list[str]:
        """Which of the inputs that cost something have to be made: none for a line that is off."""
        lazy = {"control_net": control_net, "image": image}
        return [name for name, value in lazy.items() if enabled and value is None]

    def add(
        self,
        control_net: Any,
        image: Tensor | None,
        strength: float,
        start_percent: float,
        end_percent: float,
        *,
        mode: str,
        area_hint: AreaHint,
        frames: Frames,
        union_type: str,
        stack: ControlStack = (),
        mask: Tensor | None = None,
        vae: Any = None,
        inpaint_mask: Tensor | None = None,
        factor: tuple[Factor, ...] = (),
        enabled: bool,
        inpaint_image: Tensor | None = None,
        prompt: Prompt | None = None,
        unique_id: str | None = None,
        extra_pnginfo: Drawn | None = None,
    ) -> tuple[ControlStack]:
        """Chain one control; `image` is (B, H, W, 3) in 0..1. A line that is off may lack it."""
        require_whole(extra_pnginfo, unique_id, STACK)
        stack = stack_of(stack)
        control = line(
            control_net,
            image,
            len(stack) + 1,
            file_behind(prompt, unique_id, "control_net"),
            strength=strength,
            span=Span(start_percent, end_percent),
            mask=mask,
            mode=mode,
            vae=vae,
            area_hint=area_hint,
            frames=frames,
            inpaint_mask=inpaint_mask,
            union_type=union_type,
            factor=factor,
            enabled=enabled,
            inpaint_image=inpaint_image,
        )
        return ((*stack, control),)


@filled
class ControlStackApply:
    """The stack around a MODEL."""

    DESCRIPTION = (
        "Puts a stack of controls on a model: all of them act whenever it samples. The model that "
        "goes in stays as it is."
    )
    SEARCH_ALIASES = (
        *("controlnet", "control net", "cn", "apply controlnet", "use controlnet"),
        *("controlnet stack", "multi controlnet", "控制网络", "多重控制"),
    )
    CATEGORY = CATEGORY
    FUNCTION = "apply"
    RETURN_TYPES = ("MODEL",)
    RETURN_NAMES = ("model",)
    OUTPUT_TOOLTIPS = ("The model with its controls, for a KSampler.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs; without a stack, as when its last control is bypassed, the model
        goes through."""
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "The model to control. It is not changed."}),
            },
            "optional": {
                "stack": (STACKS, {"tooltip": "The controls, from Add ControlNet."}),
                "record": (
                    "BOOLEAN",
                    {
                        "default": False,
                        "tooltip": "Measures what each control does while the model samples, for "
                        "Control Report. The picture stays the same.",
                    },
                ),
            },
            "hidden": {**HIDDEN, **DRAWN},
        }

    def apply(
        self,
        model: AnyModel,
        stack: ControlStack = (),
        record: bool = False,
        prompt: Prompt | None = None,
        unique_id: str | None = None,
        extra_pnginfo: Drawn | None = None,
    ) -> tuple[AnyModel]:
        """Patch a clone."""
        require_whole(extra_pnginfo, unique_id, STACK)
        file = file_behind(prompt, unique_id, "model")
        return (patch(model, stack_of(stack), model_file=file, window=window, record=record),)


class ControlStackApplyConditioning:
    """The stack around prompts."""

    DESCRIPTION = (
        "Puts a stack of controls on prompts instead of a model: for tiled upscalers, detailers "
        "and others that sample a picture in parts, and to control one prompt only."
    )
    SEARCH_ALIASES = (
        *("controlnet", "control net", "cn", "apply controlnet", "use controlnet"),
        *("controlnet stack", "multi controlnet", "tiled controlnet", "控制网络", "多重控制"),
    )
    CATEGORY = CATEGORY
    FUNCTION = "apply"
    RETURN_TYPES = ("CONDITIONING", "CONDITIONING")
    RETURN_NAMES = ("positive", "negative")
    OUTPUT_TOOLTIPS = ("The prompt with the controls.", "The negative prompt with the controls.")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs."""
        return {
            "required": {
                "positive": ("CONDITIONING", {"tooltip": "The prompt. It is not changed."}),
            },
            "optional": {
                "negative": (
                    "CONDITIONING",
                    {"tooltip": "The negative prompt. Leave it open to control the prompt alone."},
                ),
                "stack": (STACKS, {"tooltip": "The controls, from Add ControlNet."}),
                "vae": (
                    "VAE",
                    {
                        "tooltip": "For controls that need one and have none of their own: "
                        "ControlNets of SD 3, Flux and Qwen-Image."
                    },
                ),
            },
        }

    def apply(
        self,
        positive: Conditioning,
        negative: Conditioning | None = None,
        stack: ControlStack = (),
        vae: Any = None,
    ) -> tuple[Conditioning, ...]:
        """Both conditionings with the stack."""
        filled_in = tuple(replace(c, vae=vae) if c.vae is None else c for c in stack_of(stack))
        return apply_to_conditioning(filled_in, positive, negative or [], window=window)


# Without a type, so that ComfyUI-Manager's scanner finds it.
NODE_CLASS_MAPPINGS = {
    "ControlStackRows": node_in("ControlNet Stack", "rows_node", "ControlStackRows"),
    "ControlStackLoader": ControlStackLoader,
    "ControlStackAdd": ControlStackAdd,
    "ControlStackApply": ControlStackApply,
    "ControlStackApplyConditioning": ControlStackApplyConditioning,
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "ControlStackRows": "ControlNet Stack",
    "ControlStackLoader": "Load ControlNet (ControlStack)",
    "ControlStackAdd": "Add ControlNet",
    "ControlStackApply": "Apply ControlNet Stack",
    "ControlStackApplyConditioning": "Apply ControlNet Stack to Conditioning",
}
