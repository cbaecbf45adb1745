"""The hint nodes: one for each preprocessor, and one for all.

Ids and titles are written out once more, for ComfyUI, which is told them before the preprocessors
are imported, and for ComfyUI-Manager, which reads the ids from this text. Tests compare them.
"""

from __future__ import annotations

from .lazy_node import LazyNode, lazy_node, node_in


def _hint(title: str, name: str) -> LazyNode:
    """The node of the preprocessor `name`."""

    def make() -> type:
        from ..preprocessors.registry import PREPROCESSORS
        from .hint_node import node_of

        return node_of(PREPROCESSORS[name])

    return lazy_node(title, make)


# Without a type, so that ComfyUI-Manager's scanner finds it.
NODE_CLASS_MAPPINGS = {
    "ControlStackHint": node_in("Any Hint", "any_hint", "ControlStackHint"),
    "ControlStackCanny": _hint("Canny Hint", "canny"),
    "ControlStackScribble": _hint("Scribble Hint", "scribble"),
    "ControlStackScribbleXdog": _hint("XDoG Scribble Hint", "scribble_xdog"),
    "ControlStackLineartStandard": _hint("Standard Line Art Hint", "lineart_standard"),
    "ControlStackBinary": _hint("Binary Hint", "binary"),
    "ControlStackRecolorLuminance": _hint("Recolor Luminance Hint", "recolor_luminance"),
    "ControlStackRecolorIntensity": _hint("Recolor Intensity Hint", "recolor_intensity"),
    "ControlStackTile": _hint("Tile Hint", "tile"),
    "ControlStackShuffle": _hint("Shuffle Hint", "shuffle"),
    "ControlStackColorPalette": _hint("Color Palette Hint", "color_palette"),
    "ControlStackInpaint": _hint("Inpaint Hint", "inpaint"),
    "ControlStackInpaintBlack": _hint("Black Inpaint Hint", "inpaint_black"),
    "ControlStackSegmentationLabels": _hint("Segmentation Labels Hint", "seg_labels"),
    "ControlStackNormalFromDepth": _hint("Normal from Depth Hint", "normal_from_depth"),
    "ControlStackDrawPose": _hint("Draw Pose Hint", "pose"),
    "ControlStackDepth": _hint("Depth Hint", "depth"),
    "ControlStackSegment": _hint("Segmentation Hint", "seg_ade20k"),
    "ControlStackPoseVitpose": _hint("ViTPose Hint", "pose_vitpose"),
    "ControlStackPoseOpenpose": _hint("OpenPose Hint", "pose_openpose"),
    "ControlStackNormalBae": _hint("Normal BAE Hint", "normal_bae"),
    "ControlStackHed": _hint("HED Soft Edge Hint", "hed"),
    "ControlStackHedScribble": _hint("HED Scribble Hint", "hed_scribble"),
    "ControlStackPidinet": _hint("PiDiNet Soft Edge Hint", "pidinet"),
    "ControlStackPidinetScribble": _hint("PiDiNet Scribble Hint", "pidinet_scribble"),
    "ControlStackMlsd": _hint("M-LSD Lines Hint", "mlsd"),
    "ControlStackLineart": _hint("Line Art Hint", "lineart"),
    "ControlStackLineartAnime": _hint("Anime Line Art Hint", "lineart_anime"),
    "ControlStackTeed": _hint("TEED Soft Edge Hint", "teed"),
    "ControlStackAnyline": _hint("Anyline Hint", "anyline"),
}
NODE_DISPLAY_NAME_MAPPINGS = {key: node.title for key, node in NODE_CLASS_MAPPINGS.items()}
