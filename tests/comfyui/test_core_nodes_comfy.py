"""The embedded host's core nodes beside ComfyUI's own: as declared, and what they make."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.headless.core_nodes import CORE_NODES
from controlstack.headless.graph.registry import DYNAMIC_COMBO, GROWING, read_spec
from controlstack.headless.models import upscaler
from controlstack.headless.models.tiles import in_tiles
from controlstack.headless.sampling.guider import DENOISE_MASK
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.schedules import SCHEDULES
from tests.comfyui.conftest import comfyui_path, has_dynamic_combos
from tests.comfyui.parity import noise, picture
from tests.headless.models.test_upscaler import compact_weights
from tests.tiny import tiny_model

FILES = [
    "post_processing",
    "mask",
    "images",
    "latent",
    "custom_sampler",
    "primitive",
    "string",
    "sd3",
    "freelunch",
    "model_advanced",
    "upscale_model",
    "compositing",
    "align_your_steps",
    "differential_diffusion",
    "logic",
    "preview_any",
    "controlnet",
    "canny",
    "clip_sdxl",
    "perpneg",
    "rebatch",
    "number_convert",
    "math",
    "resolution",
]
"""Of `comfy_extras`; the rest are in `nodes`."""

ANY = {"source", "on_false", "on_true", "input"}
"""Fields of any type, which newer hosts have names for."""

MENUS = {"sampler_name", "scheduler", "type", "weight_dtype", "sampling", "config_name"}
"""Fields whose menus are shorter here."""

RECENT = 17
"""Nodes that an older ComfyUI may lack, at most: those compared have to be many."""

CHANGED = {
    *("ImageScaleToTotalPixels", "FeatherMask", "ImageCompositeMasked", "JoinImageWithAlpha"),
    *("ImageBatch", "ImageFromBatch", "LatentFromBatch", "PreviewAny", "PrimitiveFloat"),
}
"""Nodes that are otherwise in an older ComfyUI: the embedded host follows the newer one."""


@pytest.fixture(scope="module")
def theirs(comfy: ModuleType) -> Mapping[str, Any]:
    """ComfyUI's node classes by id."""
    path = comfyui_path()
    assert path is not None
    found = dict(import_module("nodes").NODE_CLASS_MAPPINGS)
    for name in FILES:
        if not Path(path, "comfy_extras", f"nodes_{name}.py").is_file():
            continue
        module = import_module(f"comfy_extras.nodes_{name}")
        found.update(getattr(module, "NODE_CLASS_MAPPINGS", {}))
        for node in vars(module).values():
            own = isinstance(node, type) and node.__module__ == module.__name__
            if own and hasattr(node, "define_schema"):
                found[node.define_schema().node_id] = node
    return found


def made(node: Any, inputs: Mapping[str, Any]) -> tuple[Any, ...]:
    """All outputs of one call, on inputs of its own."""
    given = {name: _copy(value) for name, value in inputs.items()}
    if hasattr(node, "define_schema"):
        hosted = type(node.__name__, (node,), {"hidden": SimpleNamespace(unique_id=None)})
        return tuple(hosted.execute(**given).result)
    result = getattr(node(), node.FUNCTION)(**given)
    return tuple(result["result"] if isinstance(result, dict) else result)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(one) for name, one in value.items()}
    return value.clone() if isinstance(value, Tensor) else value


def same(one: Any, other: Any, tolerance: float) -> None:
    if isinstance(one, Tensor):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name, value in one.items():
            same(value, other[name], tolerance)
    elif isinstance(one, list):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            same(mine, theirs, tolerance)
    else:
        assert one == other


def test_declared_alike(theirs: Mapping[str, Any]) -> None:
    """Inputs in the same order, with the same types, limits, defaults and menus."""
    older = not has_dynamic_combos()
    compared = [node for node in CORE_NODES if node in theirs]
    lacking = set(CORE_NODES) - set(compared)
    assert len(lacking) <= RECENT if older else not lacking, lacking
    differing = {}
    for node_id in compared:
        info = theirs[node_id]
        is_new = hasattr(info, "GET_NODE_INFO_V1")
        declared = info.GET_NODE_INFO_V1()["input"] if is_new else info.INPUT_TYPES()
        their = _fields(declared)
        ours = _fields(CORE_NODES[node_id].INPUT_TYPES())
        if their != ours:
            differing[node_id] = (ours, their)
        spec = read_spec(node_id, CORE_NODES[node_id])
        outputs = info.GET_NODE_INFO_V1()["output"] if is_new else info.RETURN_TYPES
        kinds = ("*" if kind == "COMFY_MATCHTYPE_V3" else kind for kind in outputs)
        ends = older and spec.is_output and not outputs  # newer ones give on what they save
        assert ends or spec.outputs == tuple(kinds), node_id
    assert not (differing.keys() - CHANGED if older else differing)


def _fields(declared: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    fields = []
    for section in ("required", "optional"):
        for name, info in declared.get(section, {}).items():
            kind, options = info[0], info[1] if len(info) > 1 else {}
            menu = kind if isinstance(kind, list) else options.get("options")
            if kind == DYNAMIC_COMBO:
                kind = [
                    (str(getattr(one["key"], "value", one["key"])), _fields(one["inputs"]))
                    for one in menu
                ]
            elif kind == GROWING:
                template = options["template"]
                of = [(*field[1:2], *field[3:]) for field in _fields(template["input"])]
                kind = (of, *(template.get(key) for key in ("min", "max", "names", "prefix")))
            elif menu is not None:
                kind = "COMBO" if name in MENUS or name.endswith(("_name", "image")) else list(menu)
            kind = "*" if name in ANY else kind
            kept = {
                key: options[key] for key in ("default", "min", "max", "step") if key in options
            }
            fields.append((section, name, kind, kept))
    return fields


def mask(seed: int, batch: int = 1, height: int = 40, width: int = 30) -> Tensor:
    return torch.rand((batch, height, width), generator=torch.Generator().manual_seed(seed))


def latent(seed: int, batch: int = 1, height: int = 9, width: int = 12, **more: Any) -> Any:
    return {"samples": noise(seed, batch, 4, height, width), **more}


IMAGE, SMALL = picture(1, 2, 40, 30), picture(2, 1, 20, 50)
ALPHA = torch.cat([picture(3, 1, 40, 30), mask(4)[..., None]], dim=-1)
SPOTS = (mask(5, 2) > 0.9).float()
MASKED = latent(9, 3, noise_mask=mask(10, 2)[:, None], batch_index=[4, 5, 9])
TEXT = "A red ball, a RED house\nand a reddish\tcar "

CASES: dict[str, list[dict[str, Any]]] = {
    "GetImageSize": [{"image": IMAGE}],
    "ImageScaleToTotalPixels": [
        {"image": IMAGE, "upscale_method": m, "megapixels": 0.01, "resolution_steps": s}
        for m, s in (("lanczos", 1), ("area", 8), ("bicubic", 16))
    ],
    "ImageScaleToMaxDimension": [
        {"image": i, "upscale_method": "bilinear", "largest_size": 33} for i in (IMAGE, SMALL)
    ],
    "MaskToImage": [{"mask": mask(1, 2)}, {"mask": mask(1)[0]}],
    "ImageToMask": [{"image": ALPHA, "channel": c} for c in ("red", "green", "blue", "alpha")],
    "ImageColorToMask": [
        {"image": (IMAGE * 1.5).round(), "color": c} for c in (0, 0xFF0000, 0xFFFF, 0xFFFFFF)
    ],
    "InvertMask": [{"mask": mask(1, 2)}],
    "SolidMask": [{"value": 0.37, "width": 13, "height": 7}],
    "ThresholdMask": [{"mask": mask(2, 2), "value": 0.4}],
    "CropMask": [{"mask": mask(2, 2), "x": 3, "y": 8, "width": 90, "height": 11}],
    "GrowMask": [
        {"mask": m, "expand": e, "tapered_corners": t}
        for m in (SPOTS, mask(3))
        for e in (0, 1, 6, -2, 60)
        for t in (True, False)
    ],
    "FeatherMask": [
        {"mask": mask(4, 2), "left": a, "top": b, "right": c, "bottom": d}
        for a, b, c, d in ((0, 0, 0, 0), (7, 5, 3, 9), (25, 25, 25, 25), (99, 0, 0, 99))
    ],
    "MaskComposite": [
        {"destination": mask(5, 2), "source": mask(6, n, 20, 20), "x": 13, "y": 31, "operation": o}
        for n in (1, 2)
        for o in ("multiply", "add", "subtract", "and", "or", "xor")
    ],
    "ImageCompositeMasked": [
        {"destination": d, "source": s, "x": x, "y": y, "resize_source": r, **m}
        for d, s in ((IMAGE, SMALL), (ALPHA, SMALL), (SMALL, ALPHA))
        for x, y, r in ((0, 0, True), (4, 9, False), (12, 3, True))
        for m in ({}, {"mask": mask(7, 1, 11, 13)}, {"mask": mask(8, 2)})
    ],
    "LatentCompositeMasked": [
        {
            "destination": latent(1, 2),
            "source": latent(2, 1, 7, 8),
            "x": 24,
            "y": 32,
            "resize_source": r,
            "mask": mask(7),
        }
        for r in (True, False)
    ],
    "LatentComposite": [
        {
            "samples_to": latent(1, 2),
            "samples_from": latent(2, 1, 6, 7),
            "x": x,
            "y": y,
            "feather": f,
        }
        for x, y, f in ((0, 0, 0), (16, 8, 0), (16, 8, 16), (0, 24, 24), (56, 0, 8))
    ],
    "LatentBlend": [
        {"samples1": latent(1), "samples2": latent(2, 1, h, 12), "blend_factor": 0.3}
        for h in (9, 6)
    ],
    "ImageBlend": [
        {"image1": IMAGE, "image2": i, "blend_factor": 0.7, "blend_mode": m}
        for i in (picture(9, 2, 40, 30), SMALL)
        for m in ("normal", "multiply", "screen", "overlay", "soft_light", "difference")
    ],
    "SplitImageWithAlpha": [{"image": IMAGE}, {"image": ALPHA}],
    "JoinImageWithAlpha": [{"image": IMAGE, "alpha": mask(5, n, 10, 12)} for n in (1, 3)],
    "ImageBatch": [
        {"image1": a, "image2": b} for a, b in ((IMAGE, SMALL), (SMALL, ALPHA), (ALPHA, IMAGE))
    ],
    "RepeatImageBatch": [{"image": IMAGE, "amount": 3}],
    "ImageFromBatch": [
        {"image": picture(1, 5), "batch_index": i, "length": n}
        for i, n in ((0, 1), (2, 9), (-2, 1), (-99, 2), (99, 2))
    ],
    "LatentFromBatch": [
        {"samples": s, "batch_index": i, "length": n}
        for s in (MASKED, latent(1, 3))
        for i, n in ((0, 1), (1, 9), (-1, 1))
    ],
    "RepeatLatentBatch": [
        {"samples": s, "amount": 3} for s in (latent(1, 2, noise_mask=mask(1, 2)[:, None]), MASKED)
    ],
    "LatentBatch": [{"samples1": a, "samples2": latent(2, 2, 7, 6)} for a in (MASKED, latent(1))],
    "LatentFlip": [
        {"samples": latent(1), "flip_method": f}
        for f in ("x-axis: vertically", "y-axis: horizontally")
    ],
    "LatentRotate": [
        {"samples": latent(1), "rotation": r}
        for r in ("none", "90 degrees", "180 degrees", "270 degrees")
    ],
    "LatentCrop": [
        {"samples": latent(1, 1, 20, 30), "width": 64, "height": 80, "x": x, "y": y}
        for x, y in ((0, 0), (40, 16), (999, 999))
    ],
    "ImageFlip": [
        {"image": IMAGE, "flip_method": f} for f in ("x-axis: vertically", "y-axis: horizontally")
    ],
    "ImageRotate": [
        {"image": IMAGE, "rotation": r}
        for r in ("none", "90 degrees", "180 degrees", "270 degrees")
    ],
    "ImageCrop": [
        {"image": IMAGE, "width": 9, "height": 99, "x": x, "y": y} for x, y in ((3, 5), (99, 99))
    ],
    "ImagePadForOutpaint": [
        {"image": IMAGE, "left": a, "top": b, "right": c, "bottom": d, "feathering": f}
        for a, b, c, d in ((8, 0, 0, 0), (0, 16, 8, 24), (8, 8, 8, 8), (0, 0, 0, 0))
        for f in (0, 7, 14, 40)
    ],
    "EmptyImage": [{"width": 9, "height": 7, "batch_size": 2, "color": 0x12AB9F}],
    "ImageBlur": [
        {"image": i, "blur_radius": r, "sigma": s}
        for i, r, s in ((IMAGE, 1, 1.0), (ALPHA, 5, 0.3), (SMALL, 19, 10.0))
    ],
    "ImageSharpen": [
        {"image": IMAGE, "sharpen_radius": r, "sigma": s, "alpha": a}
        for r, s, a in ((1, 1.0, 1.0), (4, 0.5, 0.05), (9, 0.2, 0.0))
    ],
    "LatentAdd": [{"samples1": MASKED, "samples2": latent(2, n, 7, 6)} for n in (1, 2, 5)],
    "LatentSubtract": [{"samples1": latent(1), "samples2": latent(2)}],
    "LatentMultiply": [{"samples": MASKED, "multiplier": m} for m in (1.3, -2.0)],
    "LatentInterpolate": [
        {"samples1": latent(1), "samples2": latent(2, 1, h, 6), "ratio": r}
        for h, r in ((9, 0.3), (7, 0.0), (7, 1.0))
    ],
    "ConditioningMultiply": [
        {"conditioning": [[noise(1, 1, 4, 3), {"pooled_output": noise(2, 1, 4), "strength": 0.5}]]}
        | {"multiplier": 0.7}
    ],
    "ImageCropV2": [
        {"image": IMAGE, "crop_region": {"x": x, "y": y, "width": 9, "height": 99}}
        for x, y in ((3, 5), (99, 99))
    ],
    "PreviewAny": [{"source": v} for v in ("a\nb", 3, 0.5, True, None, {"é": [1]}, {1, 2})],
    "ComfySwitchNode": [{"switch": b, "on_false": 1, "on_true": "x"} for b in (True, False)],
    "EmptySD3LatentImage": [{"width": 64, "height": 96, "batch_size": 2}],
    "PrimitiveInt": [{"value": 7}],
    "PrimitiveString": [{"value": "a"}],
    "StringConcatenate": [{"string_a": "a", "string_b": TEXT, "delimiter": ", "}],
    "StringSubstring": [{"string": TEXT, "start": a, "end": b} for a, b in ((2, 9), (-5, -1))],
    "StringLength": [{"string": TEXT}],
    "CaseConverter": [
        {"string": TEXT, "mode": m} for m in ("UPPERCASE", "lowercase", "Capitalize", "Title Case")
    ],
    "StringTrim": [{"string": f"  {TEXT}", "mode": m} for m in ("Both", "Left", "Right")],
    "StringReplace": [{"string": TEXT, "find": "red", "replace": "blue"}],
    "StringContains": [
        {"string": TEXT, "substring": s, "case_sensitive": c}
        for s in ("HOUSE", "house", "tree")
        for c in (True, False)
    ],
    "StringCompare": [
        {"string_a": TEXT, "string_b": s, "mode": m, "case_sensitive": c}
        for s in ("a red", "car ", TEXT)
        for m in ("Starts With", "Ends With", "Equal")
        for c in (True, False)
    ],
    "RegexMatch": [
        {"string": TEXT, "regex_pattern": p, "case_insensitive": c, "multiline": m, "dotall": d}
        for p in ("^AND", "house.and", "tree")
        for c, m, d in ((True, True, False), (False, False, True), (True, False, False))
    ],
    "RegexExtract": [
        {
            **{"string": TEXT, "regex_pattern": p, "mode": m, "group_index": g},
            **{"case_insensitive": True, "multiline": False, "dotall": False},
        }
        for p in (r"red\w*", r"(re)(d\w*)", "tree", r"(blue)|red")
        for m in ("First Match", "All Matches", "First Group", "All Groups")
        for g in (0, 1, 2)
        if (p, m) not in (("(blue)|red", "First Group"), ("(blue)|red", "All Groups"))
    ],
    "RegexReplace": [
        {"string": TEXT, "regex_pattern": r"(red)(\w*)", "replace": r"\2-\1", "count": c}
        for c in (0, 1)
    ],
}

LATENTS = [latent(1, 3), MASKED, latent(2, 2, 7, 6), latent(3, 2, 7, 6, batch_index=[7, 8])]
CHANNELS = [picture(3, 1, 24, 18), torch.cat([IMAGE, IMAGE[..., :1]], dim=-1), SMALL]
RULES: list[dict[str, Any]] = [
    *(
        {"resize_type": "scale dimensions", "width": w, "height": h, "crop": c}
        for w, h in ((33, 20), (0, 25), (41, 0), (0, 0))
        for c in ("disabled", "center")
    ),
    {"resize_type": "scale by multiplier", "multiplier": 1.37},
    {"resize_type": "scale longer dimension", "longer_size": 33},
    {"resize_type": "scale shorter dimension", "shorter_size": 21},
    {"resize_type": "scale width", "width": 17},
    {"resize_type": "scale height", "height": 45},
    {"resize_type": "scale total pixels", "megapixels": 0.01},
    *(
        {"resize_type": "match size", "match": m, "crop": c}
        for m, c in ((SMALL, "center"), (mask(3), "disabled"))
    ),
    *({"resize_type": "scale to multiple", "multiple": n} for n in (1, 7, 8, 64)),
]
STRIPS = [
    *((True, 0, "white"), (True, 8, "red")),
    *((False, 3, "black"), (False, 2, "white"), (False, 0, "green")),
]
CASES |= {
    # With an odd rest that the crop shares out, rounding of the proportion decides.
    "ImageScale": [
        {"image": picture(1, 1, h, w), "upscale_method": "nearest-exact", "crop": "center"}
        | {"width": x, "height": y}
        for w, h, x, y in ((721, 480, 768, 512), (50, 20, 33, 20), (31, 40, 8, 24), (9, 9, 8, 8))
    ],
    "ResizeImageMaskNode": [
        {"input": i, "resize_type": rule, "scale_method": m}
        for i in (ALPHA, SMALL, picture(4, 1, 24, 24), mask(1, 2))
        for rule in RULES
        for m in ("area", "lanczos")
    ],
    "ResizeAndPadImage": [
        {"image": i, "target_width": w, "target_height": h, "padding_color": c, "interpolation": m}
        for i in (ALPHA, SMALL)
        for w, h, c, m in (
            (37, 64, "white", "area"),
            (80, 21, "black", "bicubic"),
            (33, 33, "white", "lanczos"),
        )
    ],
    "ImageStitch": [
        {"image1": i, "direction": d, "match_image_size": s, "spacing_width": n, **more}
        | {"spacing_color": c}
        for i, more in (
            (IMAGE, {}),
            (IMAGE, {"image2": SMALL}),
            (SMALL, {"image2": ALPHA}),
            (ALPHA, {"image2": picture(6, 3, 21, 33)}),
        )
        for d in ("right", "down", "left", "up")
        for s, n, c in STRIPS
    ],
    "BatchImagesNode": [
        {"images": {f"image{n}": one for n, one in enumerate(some)}}
        for some in (CHANNELS, CHANNELS[::-1], CHANNELS[:1])
    ],
    "BatchMasksNode": [
        {"masks": {"mask0": mask(1, 2), "mask1": mask(2, 1, 9, 30), "mask7": SPOTS}}
    ],
    "BatchLatentsNode": [
        {"latents": {f"latent{n}": one for n, one in enumerate(some)}}
        for some in (LATENTS, LATENTS[::-1], LATENTS[:1])
    ],
    "RebatchImages": [
        {"images": [IMAGE, picture(8, 3, 40, 30), IMAGE], "batch_size": [n]} for n in (1, 3, 7, 9)
    ],
    "RebatchLatents": [
        {"latents": some, "batch_size": [n]}
        for some in (LATENTS[:1], LATENTS[2:], [*LATENTS[2:], LATENTS[0], LATENTS[2]])
        for n in (1, 2, 3, 4)
    ]
    + [
        {"latents": [latent(1, 3), latent(2, 2, noise_mask=mask(1, 1, 72, 96)[:, None])]}
        | {"batch_size": [2]}
    ],
    "LatentBatchSeedBehavior": [
        {"samples": s, "seed_behavior": b} for s in LATENTS for b in ("random", "fixed")
    ],
    "LatentConcat": [
        {"samples1": latent(1, 2), "samples2": latent(2, n), "dim": d}
        for n in (1, 2, 3)
        for d in ("x", "-x", "y", "-y", "t", "-t")
    ],
    "LatentCut": [
        {"samples": MASKED, "dim": d, "index": i, "amount": n}
        for d in ("x", "y", "t")
        for i, n in ((0, 1), (2, 3), (3, 99), (-2, 1), (-99, 5), (99, 2))
    ],
    "LatentCutToBatch": [
        {"samples": s, "dim": d, "slice_size": n}
        for s in (latent(1, 2), {"samples": noise(4, 2, 4, 5, 9, 12)})
        for d in ("t", "x", "y")
        for n in (1, 2, 5, 99)
    ],
    "StringFormat": [
        {"values": {"a": 7, "c": "x", "d": 0.5}, "f_string": t}
        for t in ("{a:03}-{c!r}{{}}{d:.2f}", "plain", "")
    ]
    + [{"values": {}, "f_string": "no marks"}],
    "JsonExtractString": [
        {"json_string": t, "key": k}
        for t in ('{"a": 1.50, "b": null, "c": ["x"], "": true}', "[1]", "no", "", '"a"')
        for k in ("a", "b", "c", "", "z")
    ],
    "ComfyNotNode": [{"value": v} for v in (0, 1, "", "a", None, [], 0.0, True)],
    "ComfyAndNode": [{"values": {"value0": a, "value1": b}} for a in (0, "x") for b in ("", 2.0)],
    "ComfyOrNode": [{"values": {"value0": a, "value1": b}} for a in (0, "x") for b in ("", 2.0)],
    "ComfyMathExpression": [
        {"expression": e, "values": {"a": 7, "b": 2.5, "c": True}}
        for e in (
            *("a + b", "a // 2 * b ** 2", "-a % 4", "a if c else b", "a > b and not c", "7 / 2"),
            *("sum(values)", "sum(a, b)", "max(values) - min(a, b)", "round(b)", "round(a / 3, 2)"),
            *("ceil(b) + floor(b)", "sqrt(a) * log2(8) + log10(100) + log(a)", "pow(a, 3)"),
            *("sin(a) + cos(b) - tan(1)", "int(b) + float(a) + abs(-3)", "0.0", "-2.7", "1e3"),
        )
    ],
    "ComfyNumberConvert": [
        {"value": v} for v in (3, -2.7, True, False, " 12 ", "1e3", "-0.5", "9" * 20, 10**20)
    ],
    "ResolutionSelector": [
        {"aspect_ratio": r, "megapixels": p, "multiple": n}
        for r in ("1:1 (Square)", "2:3 (Portrait Photo)", "16:9 (Widescreen)", "21:9 (Ultrawide)")
        for p, n in ((1.0, 8), (0.3, 64), (16.0, 12))
    ],
}

SIGMAS = torch.tensor([14.6, 6.0, 2.5, 1.0, 0.3, 0.0])
ENDS = {"sigma_max": 13.5, "sigma_min": 0.05}
CASES |= {
    "KarrasScheduler": [{"steps": n, **ENDS, "rho": r} for n, r in ((1, 7.0), (9, 7.0), (20, 3.5))],
    "ExponentialScheduler": [{"steps": n, **ENDS} for n in (1, 9, 20)],
    "PolyexponentialScheduler": [
        {"steps": n, **ENDS, "rho": r} for n, r in ((1, 1.0), (9, 1.0), (20, 1.7))
    ],
    "LaplaceScheduler": [
        {"steps": n, **ENDS, "mu": m, "beta": b} for n, m, b in ((5, 0.0, 0.5), (20, 0.7, 0.9))
    ],
    "VPScheduler": [{"steps": n, "beta_d": 19.9, "beta_min": 0.1, "eps_s": 0.001} for n in (1, 9)],
    "AlignYourStepsScheduler": [
        {"model_type": f, "steps": n, "denoise": d}
        for f in ("SD1", "SDXL", "SVD")
        for n, d in ((10, 1.0), (20, 1.0), (7, 0.5), (10, 0.0))
    ],
    "SplitSigmas": [{"sigmas": SIGMAS, "step": n} for n in (0, 2, 99)],
    "SplitSigmasDenoise": [{"sigmas": SIGMAS, "denoise": d} for d in (0.0, 0.3, 1.0)],
    "FlipSigmas": [{"sigmas": one} for one in (SIGMAS, SIGMAS[:3], SIGMAS[:0])],
    "SetFirstSigma": [{"sigmas": SIGMAS, "sigma": 7.5}],
    "ManualSigmas": [{"sigmas": text} for text in ("1, 0.5", "14.6 .5;3", "")],
}

NEARLY = {"ImageBlur": 1e-6, "ImageSharpen": 1e-5, "ImageScaleToTotalPixels": 1e-6}
"""Convolutions add in another order; the rest are the same bits."""
for _name in CASES:
    if _name.endswith("Scheduler"):
        NEARLY[_name] = 2e-5  # of sigmas to 700


@pytest.mark.parametrize("node_id", CASES)
def test_made_alike(node_id: str, theirs: Mapping[str, Any]) -> None:
    if node_id not in theirs:
        pytest.skip(f"this ComfyUI has no {node_id}")
    if node_id in CHANGED and not has_dynamic_combos():
        pytest.skip(f"{node_id} is otherwise in this ComfyUI")
    for inputs in CASES[node_id]:
        ours = made(CORE_NODES[node_id], inputs)
        expected = made(theirs[node_id], inputs)
        if node_id == "EmptySD3LatentImage":  # newer ones tell their scale besides
            expected = ({"samples": expected[0]["samples"]},)
        assert len(ours) == len(expected)
        for one, other in zip(ours, expected, strict=True):
            same(one, other, NEARLY.get(node_id, 0.0))


@pytest.mark.parametrize(
    ("node_id", "settings", "tolerance"),
    [
        *(("LatentOperationTonemapReinhard", {"multiplier": m}, 0.0) for m in (0.3, 1.0, 20.0)),
        *(
            ("LatentOperationSharpen", {"sharpen_radius": r, "sigma": s, "alpha": a}, 1e-5)
            for r, s, a in ((1, 1.0, 0.1), (4, 0.3, 1.0), (2, 10.0, 0.0))
        ),
    ],
)
def test_operations_alike(
    node_id: str, settings: dict[str, Any], tolerance: float, theirs: Mapping[str, Any]
) -> None:
    operations = [made(nodes[node_id], settings)[0] for nodes in (CORE_NODES, theirs)]
    samples = {"samples": noise(3, 2, 4, 9, 12)}
    applied = [
        made(nodes["LatentApplyOperation"], {"samples": samples, "operation": operation})[0]
        for nodes, operation in zip((CORE_NODES, theirs), operations, strict=True)
    ]
    same(applied[0], applied[1], tolerance)


@pytest.mark.parametrize("strength", [1.0, 0.4, 0.0])
def test_a_mask_over_steps_alike(strength: float, theirs: Mapping[str, Any]) -> None:
    from comfy.model_sampling import EPS, ModelSamplingDiscrete

    patched = made(
        CORE_NODES["DifferentialDiffusion"], {"model": tiny_model(), "strength": strength}
    )
    sigmas = SCHEDULES["karras"](DiscreteSampling.from_betas(), 6)
    sampling = type("Sampling", (ModelSamplingDiscrete, EPS), {})()
    hosts = [
        SimpleNamespace(inner_model=SimpleNamespace(model_sampling=one))
        for one in (DiscreteSampling.from_betas(), sampling)
    ]
    for sigma in sigmas[:-1]:
        ours, other = (
            function(
                sigma[None], mask(1, 2), extra_options={"model": host, "sigmas": sigmas}, **more
            )
            for function, host, more in (
                (patched[0].model_options[DENOISE_MASK], hosts[0], {}),
                (theirs["DifferentialDiffusion"].forward, hosts[1], {"strength": strength}),
            )
        )
        assert torch.equal(ours, other)


@pytest.mark.parametrize("size", [(40, 30), (64, 96), (104, 136)])
@pytest.mark.parametrize("scale", [8, 2, 1, 1 / 8])
def test_pieces_are_put_together_alike(size: tuple[int, int], scale: float, comfy: Any) -> None:
    from comfy.utils import tiled_scale

    def network(piece: Tensor) -> Tensor:
        shape = [round(side * scale) for side in piece.shape[-2:]]
        bent = piece.cumsum(-1).sin() + piece.cumsum(-2).cos()
        return torch.nn.functional.interpolate(bent, shape, mode="nearest")

    whole = noise(5, 1, 3, *size)
    for tile, overlap in (((64, 64), 16), ((128, 32), 16), ((32, 128), 8), ((64, 64), 0)):
        theirs = tiled_scale(whole, network, tile[1], tile[0], overlap, scale, output_device="cpu")
        ours = in_tiles(network, whole, tile, overlap, scale)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(40, 30), (530, 600)])
def test_made_larger_alike(
    size: tuple[int, int], theirs: Mapping[str, Any], tmp_path: Path
) -> None:
    import folder_paths
    from safetensors.torch import save_file

    save_file(compact_weights(), tmp_path / "small.safetensors")
    folder_paths.add_model_folder_path("upscale_models", str(tmp_path))
    model = made(theirs["UpscaleModelLoader"], {"model_name": "small.safetensors"})[0]
    ours = upscaler.load_upscaler(tmp_path / "small.safetensors")
    image = picture(1, 1, *size)
    expected = made(theirs["ImageUpscaleWithModel"], {"upscale_model": model, "image": image})[0]
    large = CORE_NODES["ImageUpscaleWithModel"]().run(upscale_model=ours, image=image)[0]
    torch.testing.assert_close(large, expected, rtol=0, atol=1e-6)
