"""What comfyui_controlnet_aux and sd-webui-controlnet call preprocessors, and what it is here.

Read in `NODE_CLASS_MAPPINGS` and `NODE_DISPLAY_NAME_MAPPINGS` of
https://github.com/Fannovel16/comfyui_controlnet_aux (1.1.5) and in `scripts/preprocessor` of
https://github.com/Mikubill/sd-webui-controlnet (1.1.455), as their defaults and what is said of
their code. Names that are ours as well stand in no row: canny, mlsd, shuffle ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..ground.parameters import Value


@dataclass(frozen=True)
class Equal:
    """Names elsewhere -> our preprocessor `entry`, with other defaults (`settings`) and of its
    models only `models`, the first that is there; none are named where all are meant. `differs`
    says in half a sentence what is not the same.
    """

    names: tuple[str, ...]
    entry: str
    differs: str = ""
    settings: Mapping[str, Value] = field(default_factory=dict)
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Without:
    """Names elsewhere without an equal here, why in half a sentence, and our `nearest`, if any."""

    names: tuple[str, ...]
    why: str
    nearest: str = ""


_INVERTED = "white on black, as its ControlNets were trained; black on white there"
_SAFE: Mapping[str, Value] = {"safe": True}
_SAFE_THERE = "its safe steps are on there by default"
_UNSAFE = "without the safe steps, which are on there by default"
_V2 = tuple(f"Depth-Anything-V2-{size}-hf" for size in ("Small", "Base", "Large"))
_ZOE, _MIDAS = ("zoedepth-nyu-kitti",), ("dpt-hybrid-midas",)
_ONEFORMER = ("oneformer_ade20k_swin_large",)
_HANDS_OFF: Mapping[str, Value] = {"detect_hands": False}
_FACE_OFF: Mapping[str, Value] = {"detect_face": False}

EQUALS = (
    Equal(("CannyEdgePreprocessor", "Canny Edge"), "canny"),
    Equal(("ScribblePreprocessor", "Scribble Lines"), "scribble", _INVERTED),
    Equal(
        ("Scribble_XDoG_Preprocessor", "Scribble XDoG Lines"),
        "scribble_xdog",
        "broad lines are filled, and have holes there",
    ),
    Equal(
        (
            *("LineartStandardPreprocessor", "Standard Lineart"),
            "lineart_standard (from white bg & black line)",
        ),
        "lineart_standard",
        "guassian_sigma is spelled gaussian_sigma",
    ),
    Equal(("BinaryPreprocessor", "Binary Lines"), "binary", _INVERTED),
    Equal(
        ("ImageLuminanceDetector", "Image Luminance"),
        "recolor_luminance",
        "red and blue are exchanged there",
    ),
    Equal(("ImageIntensityDetector", "Image Intensity"), "recolor_intensity"),
    Equal(("invert (from white bg & black line)",), "invert"),
    Equal(("blur_gaussian",), "blur"),
    Equal(("tile_resample",), "tile"),
    Equal(
        ("TilePreprocessor", "Tile"),
        "tile",
        "for pyrUp_iters=3, whose doublings move the picture up and left there",
        {"down_sampling_rate": 8.0},
    ),
    Equal(
        ("ShufflePreprocessor", "Content Shuffle"),
        "shuffle",
        "a seed gives another arrangement, the same on every machine",
    ),
    Equal(
        ("ColorPreprocessor", "Color Pallete", "t2ia_color_grid", "color"),
        "color_palette",
        "cells are 64 pixels of the hint, of a picture of 512 there",
    ),
    Equal(
        ("InpaintPreprocessor", "Inpaint Preprocessor"),
        "inpaint",
        "its black_pixel_for_xinsir_cn is inpaint_black",
    ),
    Equal(
        ("inpaint_only", "inpaint_global_harmonious"),
        "inpaint",
        "what they do besides in the sampler is no part of a hint",
    ),
    Equal(
        ("RenderPeopleKps", "Render Pose JSON (Human)"),
        "pose",
        "points below confidence 1 are left out there",
    ),
    Equal(
        ("DepthAnythingV2Preprocessor", "Depth Anything V2 - Relative", "depth_anything_v2"),
        "depth",
        "Large, which is not for commercial use, is the default there",
        models=_V2,
    ),
    Equal(("MiDaS-DepthMapPreprocessor", "MiDaS Depth Map", "depth_midas"), "depth", models=_MIDAS),
    Equal(("Zoe-DepthMapPreprocessor", "Zoe Depth Map"), "depth", models=_ZOE),
    Equal(
        ("Zoe_DepthAnythingPreprocessor", "Zoe Depth Anything"),
        "depth",
        "the same network as Zoe Depth Map's there since 1.1.5",
        models=_ZOE,
    ),
    Equal(
        ("depth_zoe",),
        "depth",
        "the network for rooms and streets, that for rooms there",
        models=_ZOE,
    ),
    Equal(
        (
            *("OneFormer-ADE20K-SemSegPreprocessor", "OneFormer ADE20K Segmentor"),
            *("oneformer_ade20k", "seg_ofade20k"),
        ),
        "seg_ade20k",
        models=_ONEFORMER,
    ),
    Equal(
        ("OpenposePreprocessor", "OpenPose Pose"),
        "pose_openpose",
        "body, hands and face; detect_hand is detect_hands, detect_body is body",
    ),
    Equal(("openpose",), "pose_openpose", "the body alone", {**_HANDS_OFF, **_FACE_OFF}),
    Equal(("openpose_hand",), "pose_openpose", "body and hands", _FACE_OFF),
    Equal(("openpose_face",), "pose_openpose", "body and face", _HANDS_OFF),
    Equal(("openpose_faceonly",), "pose_openpose", "the face alone", {**_HANDS_OFF, "body": False}),
    Equal(("openpose_full",), "pose_openpose", "body, hands and face; pose_body needs no download"),
    Equal(
        ("DWPreprocessor", "DWPose Estimator", "dwpose", "dw_openpose_full"),
        "pose_body",
        "body, hands and face, found by other networks; detect_hand is detect_hands",
    ),
    Equal(("MediaPipe-FaceMeshPreprocessor", "MediaPipe Face Mesh"), "mediapipe_face"),
    Equal(("BAE-NormalMapPreprocessor", "BAE Normal Map"), "normal_bae"),
    Equal(("softedge_hed",), "hed"),
    Equal(("softedge_hedsafe", "hed_safe"), "hed", settings=_SAFE),
    Equal(("HEDPreprocessor", "HED Soft-Edge Lines"), "hed", _SAFE_THERE, _SAFE),
    Equal(("scribble_hed",), "hed_scribble"),
    Equal(
        ("FakeScribblePreprocessor", "Fake Scribble Lines (aka scribble_hed)"),
        "hed_scribble",
        _UNSAFE,
    ),
    Equal(("softedge_pidinet",), "pidinet"),
    Equal(("softedge_pidisafe", "pidinet_safe"), "pidinet", settings=_SAFE),
    Equal(("PiDiNetPreprocessor", "PiDiNet Soft-Edge Lines"), "pidinet", _SAFE_THERE, _SAFE),
    Equal(("scribble_pidinet",), "pidinet_scribble"),
    Equal(("Scribble_PiDiNet_Preprocessor", "Scribble PiDiNet Lines"), "pidinet_scribble", _UNSAFE),
    Equal(
        ("M-LSDPreprocessor", "M-LSD Lines"),
        "mlsd",
        "score_threshold is value_threshold, dist_threshold is distance_threshold",
    ),
    Equal(("LineArtPreprocessor", "Realistic Lineart", "lineart_realistic"), "lineart"),
    Equal(("lineart_coarse",), "lineart", settings={"coarse": True}),
    Equal(("AnimeLineArtPreprocessor", "Anime Lineart"), "lineart_anime"),
    Equal(
        ("TEEDPreprocessor", "TEED_Preprocessor", "TEED Soft-Edge Lines", "softedge_teed"), "teed"
    ),
    Equal(
        ("AnyLineArtPreprocessor_aux", "AnyLine Lineart"),
        "anyline",
        "at 1280 pixels on the shorter side, as there",
    ),
    Equal(
        ("softedge_anyline",),
        "anyline",
        "at 1280 pixels on the shorter side, as there, where standard line art hardly shows",
    ),
)
"""In the order of our registry."""

WITHOUT = (
    Without(("threshold",), "it is white where a picture is light, the opposite", "scribble"),
    Without(
        (
            *("TTPlanet_TileGF_Preprocessor", "TTPlanet Tile GuidedFilter"),
            *("TTPlanet_TileSimple_Preprocessor", "TTPlanet Tile Simple"),
        ),
        "it blurs a picture besides",
        "tile",
    ),
    Without(
        ("tile_colorfix", "tile_colorfix+sharp"),
        "its hint is the picture, and the colours are mended in the sampler",
        "tile",
    ),
    Without(("inpaint_only+lama",), "a network fills in the mask before", "inpaint"),
    Without(
        (
            *("Manga2Anime_LineArt_Preprocessor", "Manga Lineart (aka lineart_anime_denoise)"),
            "lineart_anime_denoise",
        ),
        "its network is another, made for manga",
        "lineart_anime",
    ),
    Without(("PyraCannyPreprocessor", "PyraCanny"), "it adds up edges of several sizes", "canny"),
    Without(
        ("DiffusionEdge_Preprocessor", "Diffusion Edge (batch size ↑ => speed ↑, VRAM ↑)"),
        "its network is another",
        "teed",
    ),
    Without(
        ("pidinet_sketch", "t2ia_sketch_pidi"),
        "it is white where edges are over one half",
        "pidinet",
    ),
    Without(
        ("DepthAnythingPreprocessor", "Depth Anything", "depth_anything"),
        "its network is Depth Anything's first, of which folders of transformers run",
        "depth",
    ),
    Without(
        (
            *("LeReS-DepthMapPreprocessor", "LeReS Depth Map (enable boost for leres++)"),
            *("depth_leres", "depth_leres++"),
            *("Metric3D-DepthMapPreprocessor", "Metric3D Depth Map"),
        ),
        "its network is another",
        "depth",
    ),
    Without(
        (
            *("MeshGraphormer-DepthMapPreprocessor", "MeshGraphormer Hand Refiner"),
            "MeshGraphormer+ImpactDetector-DepthMapPreprocessor",
            *("MeshGraphormer Hand Refiner With External Detector", "depth_hand_refiner"),
        ),
        "it makes the depth of hands alone",
        "depth",
    ),
    Without(
        ("MiDaS-NormalMapPreprocessor", "MiDaS Normal Map", "normal_midas", "normal_map"),
        "normals are made of a depth map here, with axes=v1.0 for its ControlNet",
        "normal_from_depth",
    ),
    Without(
        (
            *("DSINE-NormalMapPreprocessor", "DSINE Normal Map", "normal_dsine"),
            *("Metric3D-NormalMapPreprocessor", "Metric3D Normal Map"),
        ),
        "its network is another",
        "normal_bae",
    ),
    Without(
        (
            *("UniFormer-SemSegPreprocessor", "UniFormer Segmentor", "SemSegPreprocessor"),
            "Semantic Segmentor (legacy, alias for UniFormer)",
            *("segmentation", "seg_ufade20k"),
        ),
        "its network is another, with the same classes and colours",
        "seg_ade20k",
    ),
    Without(
        (
            *("OneFormer-COCO-SemSegPreprocessor", "OneFormer COCO Segmentor"),
            *("oneformer_coco", "seg_ofcoco", "AnimeFace_SemSegPreprocessor"),
            *("Anime Face Segmentor", "anime_face_segment", "seg_anime_face"),
            *("SAMPreprocessor", "SAM Segmentor", "mobile_sam"),
        ),
        "it has other classes and colours",
        "seg_ade20k",
    ),
    Without(
        (
            *("AnimalPosePreprocessor", "AnimalPose Estimator (AP10K)", "animal_openpose"),
            *("RenderAnimalKps", "Render Pose JSON (Animal)", "DensePosePreprocessor"),
            *("DensePose Estimator", "densepose", "densepose (pruple bg & purple torso)"),
            *("densepose_parula", "densepose_parula (black bg & blue torso)"),
            *("FacialPartColoringFromPoseKps", "Colorize Facial Parts from PoseKPS"),
            "UpperBodyTrackingFromPoseKps",
            "Upper Body Tracking From PoseKps (InstanceDiffusion)",
            *("Unimatch_OptFlowPreprocessor", "Unimatch Optical Flow"),
            *("MaskOptFlow", "Mask Optical Flow (DragNUWA)"),
        ),
        "no ControlNet that has hints here follows it",
    ),
    Without(
        (
            *("reference_only", "reference_adain", "reference_adain+attn", "clip_vision"),
            *("t2ia_style_clipvision", "revision_clipvision", "revision_ignore_prompt"),
            *("instant_id_face_embedding", "instant_id_face_keypoints", "facexlib"),
            *("ip-adapter-auto", "ip-adapter_pulid", "ip-adapter_face_id"),
            *("ip-adapter_face_id_plus", "ip-adapter_clip_sd15", "ip-adapter_clip_h"),
            *("ip-adapter_clip_sdxl", "ip-adapter_clip_g", "ip-adapter_clip_sdxl_plus_vith"),
        ),
        "it is no hint of a ControlNet but another way into the model",
    ),
    Without(("none",), "the picture itself is the hint"),
    Without(
        (
            *("AIO_Preprocessor", "AIO Aux Preprocessor", "ControlNetPreprocessorSelector"),
            *("Preprocessor Selector", "ExecuteAllControlNetPreprocessors"),
            *("Execute All ControlNet Preprocessors", "ControlNetAuxSimpleAddText"),
            *("PixelPerfectResolution", "Pixel Perfect Resolution", "ImageGenResolutionFromImage"),
            *("Generation Resolution From Image", "ImageGenResolutionFromLatent"),
            *("Generation Resolution From Latent", "HintImageEnchance"),
            *("Enchance And Resize Hint Images", "SavePoseKpsAsJsonFile", "Save Pose Keypoints"),
        ),
        "it is no preprocessor but a node around them",
    ),
)
