"""The hint nodes: one for each preprocessor, and one for all.

Ids and titles are written out once more, for ComfyUI, which is told them before the preprocessors
are imported, and for ComfyUI-Manager, which reads the ids from this text. Tests compare them.
"""

from __future__ import annotations

from .later import later


def _any_hint() -> type:
    from .any_hint import ControlStackHint

    return ControlStackHint


def _hint(name: str) -> type:
    """The node of the preprocessor `name`."""

    def make() -> type:
        from ..preprocessors.registry import PREPROCESSORS
        from .hint_node import node_of

        return node_of(PREPROCESSORS[name])

    return later(make)


# Without a type, so that ComfyUI-Manager's scanner finds it.
NODE_CLASS_MAPPINGS = {
    "ControlStackHint": later(_any_hint),
    "ControlStackCanny": _hint("canny"),
    "ControlStackScribble": _hint("scribble"),
    "ControlStackScribbleXdog": _hint("scribble_xdog"),
    "ControlStackLineartStandard": _hint("lineart_standard"),
    "ControlStackBinary": _hint("binary"),
    "ControlStackRecolorLuminance": _hint("recolor_luminance"),
    "ControlStackRecolorIntensity": _hint("recolor_intensity"),
    "ControlStackTile": _hint("tile"),
    "ControlStackShuffle": _hint("shuffle"),
    "ControlStackColorPalette": _hint("color_palette"),
    "ControlStackInpaint": _hint("inpaint"),
    "ControlStackInpaintBlack": _hint("inpaint_black"),
    "ControlStackSegmentationLabels": _hint("seg_labels"),
    "ControlStackNormalFromDepth": _hint("normal_from_depth"),
    "ControlStackDrawPose": _hint("pose"),
    "ControlStackDepth": _hint("depth"),
    "ControlStackSegment": _hint("seg_ade20k"),
    "ControlStackPoseVitpose": _hint("pose_vitpose"),
    "ControlStackPoseOpenpose": _hint("pose_openpose"),
    "ControlStackNormalBae": _hint("normal_bae"),
    "ControlStackHed": _hint("hed"),
    "ControlStackHedScribble": _hint("hed_scribble"),
    "ControlStackPidinet": _hint("pidinet"),
    "ControlStackPidinetScribble": _hint("pidinet_scribble"),
    "ControlStackMlsd": _hint("mlsd"),
    "ControlStackLineart": _hint("lineart"),
    "ControlStackLineartAnime": _hint("lineart_anime"),
    "ControlStackTeed": _hint("teed"),
    "ControlStackAnyline": _hint("anyline"),
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "ControlStackHint": "Any Hint",
    "ControlStackCanny": "Canny Hint",
    "ControlStackScribble": "Scribble Hint",
    "ControlStackScribbleXdog": "XDoG Scribble Hint",
    "ControlStackLineartStandard": "Standard Line Art Hint",
    "ControlStackBinary": "Binary Hint",
    "ControlStackRecolorLuminance": "Recolor Luminance Hint",
    "ControlStackRecolorIntensity": "Recolor Intensity Hint",
    "ControlStackTile": "Tile Hint",
    "ControlStackShuffle": "Shuffle Hint",
    "ControlStackColorPalette": "Color Palette Hint",
    "ControlStackInpaint": "Inpaint Hint",
    "ControlStackInpaintBlack": "Black Inpaint Hint",
    "ControlStackSegmentationLabels": "Segmentation Labels Hint",
    "ControlStackNormalFromDepth": "Normal from Depth Hint",
    "ControlStackDrawPose": "Draw Pose Hint",
    "ControlStackDepth": "Depth Hint",
    "ControlStackSegment": "Segmentation Hint",
    "ControlStackPoseVitpose": "ViTPose Hint",
    "ControlStackPoseOpenpose": "OpenPose Hint",
    "ControlStackNormalBae": "Normal BAE Hint",
    "ControlStackHed": "HED Soft Edge Hint",
    "ControlStackHedScribble": "HED Scribble Hint",
    "ControlStackPidinet": "PiDiNet Soft Edge Hint",
    "ControlStackPidinetScribble": "PiDiNet Scribble Hint",
    "ControlStackMlsd": "M-LSD Lines Hint",
    "ControlStackLineart": "Line Art Hint",
    "ControlStackLineartAnime": "Anime Line Art Hint",
    "ControlStackTeed": "TEED Soft Edge Hint",
    "ControlStackAnyline": "Anyline Hint",
}
