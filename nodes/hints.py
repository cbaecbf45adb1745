"""The hint nodes: one for each preprocessor, and one for all."""

from __future__ import annotations

from ..preprocessors.registry import PREPROCESSORS
from .any_hint import ControlStackHint
from .hint_node import node_of

_NODES: dict[str, type] = {entry.node: node_of(entry) for entry in PREPROCESSORS.values()}

# Every id is written out, and without a type, so that ComfyUI-Manager's scanner finds it.
NODE_CLASS_MAPPINGS = {
    "ControlStackHint": ControlStackHint,
    "ControlStackCanny": _NODES["ControlStackCanny"],
    "ControlStackScribble": _NODES["ControlStackScribble"],
    "ControlStackScribbleXdog": _NODES["ControlStackScribbleXdog"],
    "ControlStackLineartStandard": _NODES["ControlStackLineartStandard"],
    "ControlStackBinary": _NODES["ControlStackBinary"],
    "ControlStackRecolorLuminance": _NODES["ControlStackRecolorLuminance"],
    "ControlStackRecolorIntensity": _NODES["ControlStackRecolorIntensity"],
    "ControlStackTile": _NODES["ControlStackTile"],
    "ControlStackShuffle": _NODES["ControlStackShuffle"],
    "ControlStackColorPalette": _NODES["ControlStackColorPalette"],
    "ControlStackInpaint": _NODES["ControlStackInpaint"],
    "ControlStackInpaintBlack": _NODES["ControlStackInpaintBlack"],
    "ControlStackSegmentationLabels": _NODES["ControlStackSegmentationLabels"],
    "ControlStackNormalFromDepth": _NODES["ControlStackNormalFromDepth"],
    "ControlStackDrawPose": _NODES["ControlStackDrawPose"],
    "ControlStackDepth": _NODES["ControlStackDepth"],
    "ControlStackSegment": _NODES["ControlStackSegment"],
    "ControlStackPoseVitpose": _NODES["ControlStackPoseVitpose"],
    "ControlStackPoseOpenpose": _NODES["ControlStackPoseOpenpose"],
    "ControlStackNormalBae": _NODES["ControlStackNormalBae"],
    "ControlStackHed": _NODES["ControlStackHed"],
    "ControlStackHedScribble": _NODES["ControlStackHedScribble"],
    "ControlStackPidinet": _NODES["ControlStackPidinet"],
    "ControlStackPidinetScribble": _NODES["ControlStackPidinetScribble"],
    "ControlStackMlsd": _NODES["ControlStackMlsd"],
    "ControlStackLineart": _NODES["ControlStackLineart"],
    "ControlStackLineartAnime": _NODES["ControlStackLineartAnime"],
    "ControlStackTeed": _NODES["ControlStackTeed"],
    "ControlStackAnyline": _NODES["ControlStackAnyline"],
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "ControlStackHint": "Any Hint",
    **{entry.node: entry.title for entry in PREPROCESSORS.values()},
}
