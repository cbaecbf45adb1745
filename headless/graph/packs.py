"""Which pack of ComfyUI a node type comes from: told by the file, else by a well-known name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from ...ground.structured import JsonObject, object_at, text_at
from .downloads import drawn_nodes
from .registry import NodeClass, Registry

CORE, OURS = "comfy-core", "controlstack"
"""What ComfyUI's front end writes at nodes of its own, and at ours."""

KNOWN: Mapping[str, tuple[str, ...]] = {
    CORE: (
        *("DualCLIPLoader", "TripleCLIPLoader", "QuadrupleCLIPLoader", "CLIPVisionLoader"),
        *("CLIPVisionEncode", "StyleModelLoader", "StyleModelApply", "unCLIPConditioning"),
        *("GLIGENLoader", "GLIGENTextBoxApply", "FluxGuidance", "ModelSamplingSD3"),
        *("ModelSamplingFlux", "ModelSamplingAuraFlow", "ControlNetApplySD3", "SaveVideo"),
        *("InpaintModelConditioning", "DifferentialDiffusion", "VAEDecodeTiled", "VAEEncodeTiled"),
        *("SaveAnimatedWEBP", "SaveAnimatedPNG", "CreateVideo", "LoadVideo", "PreviewAny"),
        *("ImageOnlyCheckpointLoader", "InstructPixToPixConditioning", "SelfAttentionGuidance"),
        *("Wan*ToVideo", "Empty*LatentVideo", "EmptyLatent*", "VAE*codeAudio", "SaveAudio*"),
        *("LTXVConditioning", "LTXVScheduler", "LTXVImgToVideo", "SVD_img2vid_Conditioning"),
        *("VideoLinearCFGGuidance", "SaveGLB", "VAEDecodeHunyuan3D", "Hunyuan3Dv2Conditioning*"),
        *("SkipLayerGuidance*", "CFGZeroStar", "VoxelToMesh*", "StableZero123_Conditioning"),
        *("ModelMergeSimple", "CLIPMergeSimple", "CheckpointSave", "HypernetworkLoader"),
    ),
    "comfyui-advanced-controlnet": ("ACN_*", "ControlNetLoaderAdvanced", "Scaled*Weights"),
    "comfyui_controlnet_aux": ("*Preprocessor", "AIO_Preprocessor", "PixelPerfectResolution"),
    "comfyui_ipadapter_plus": ("IPAdapter*", "PrepImageForClipVision"),
    "comfyui_instantid": ("*InstantID*",),
    "comfyui-impact-pack": ("FaceDetailer*", "SAMLoader", "DetailerForEach*", "Impact*", "*SEGS*"),
    "comfyui-impact-subpack": ("UltralyticsDetectorProvider",),
    "comfyui-inspire-pack": ("*//Inspire",),
    "rgthree-comfy": ("*(rgthree)",),
    "cg-use-everywhere": ("Anything Everywhere*", "Seed Everywhere", "Prompts Everywhere"),
    "comfyui-kjnodes": ("SetNode", "GetNode", "*KJ", "*KJv2", "ColorMatch", "INTConstant"),
    "efficiency-nodes-comfyui": (
        *("Efficient Loader", "Eff. Loader SDXL", "KSampler*(Efficient)", "KSampler SDXL (Eff.)"),
        *("Control Net Stacker", "LoRA Stacker", "XY Plot", "HighRes-Fix Script"),
    ),
    "ComfyUI_Comfyroll_CustomNodes": ("CR *",),
    "comfyui-easy-use": ("easy *",),
    "comfyui-animatediff-evolved": ("ADE_*",),
    "comfyui-videohelpersuite": ("VHS_*",),
    "comfyui_ultimatesdupscale": ("UltimateSDUpscale*",),
    "comfyui_essentials": ("*+",),
    "comfyui-wd14-tagger": ("WD14Tagger|pysssss",),
    "comfyui-custom-scripts": ("*|pysssss",),
    "comfyui_layerstyle": ("LayerUtility: *", "LayerMask: *", "LayerColor: *", "LayerStyle: *"),
    "comfyui-gguf": ("*LoaderGGUF*",),
    "comfyui-florence2": ("*Florence2*",),
    "was-node-suite-comfyui": ("Image Save", "Image Resize", "Text Multiline", "Text Concatenate"),
}
"""A pack's id in ComfyUI's registry -> the names of its nodes that workflows hold most often (a
`*` is any letters), for files that do not say it: API files and older ones."""


def packs_in(workflow: JsonObject | None) -> dict[str, str]:
    """By node type, the pack that a UI document names at a node of it: its id in the registry
    (`cnr_id`), or else its place on GitHub (`aux_id`).
    """
    found: dict[str, str] = {}
    for node in drawn_nodes(workflow or {}):
        properties = object_at(node, "properties")
        told = [text_at(properties, key) for key in ("cnr_id", "aux_id")]
        pack = next(filter(_is_id, told), None)
        if pack is not None:
            found.setdefault(text_at(node, "type"), pack)
    return found


def pack_of(node_type: str, registry: Registry, told: Mapping[str, str]) -> str:
    """The pack that a node type comes from, by its id in ComfyUI's registry: by its class, where it
    runs here; else as the file has `told` it (`packs_in`), or by a well-known name. "" for none.
    """
    cls = registry.class_of(node_type)
    if cls is None:
        ours = OURS if node_type.startswith("ControlStack") else ""
        return told.get(node_type) or ours or known_pack(node_type)
    pack = declared_pack(node_type, cls)
    return next((known for known in KNOWN if known.casefold() == pack.casefold()), pack)


def declared_pack(node_type: str, cls: NodeClass) -> str:
    """The pack that a class of this host says it is of, as its folder is called: OURS, CORE, or
    another's (PACK)."""
    from ...nodes import EVERY_NODE

    return OURS if node_type in EVERY_NODE else getattr(cls, "PACK", CORE)


def known_pack(node_type: str) -> str:
    """The pack that has a node of that name; "" where it is none of the well-known ones."""
    fits = (
        pack for pack, names in KNOWN.items() if any(fnmatchcase(node_type, name) for name in names)
    )
    return next(fits, "")


def _is_id(text: str) -> bool:
    return re.fullmatch(r"[\w.\-/]{1,100}", text) is not None
