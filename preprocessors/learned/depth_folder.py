"""Is a folder a whole depth model of a kind that is known here, and what do its numbers mean?

Reads configs and the heads of weight files; loads nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ...errors import UserError

Reading: TypeAlias = Literal["nearness", "distance", "zoe"]
"""What a model's numbers mean. "nearness" grows towards the viewer, "distance" (metres) away from
him; "zoe" is a distance whose far 15 % are cut off first."""


def check_depth_model(folder: Path) -> None:
    """Raise UserError unless `folder` holds a known and whole depth model. Loads no weights."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; a depth model is one, as transformers saves it.")
    config = read_json(folder, "config.json")
    reading_of(config, folder)
    read_json(folder, "preprocessor_config.json")
    for backbone in _outside_backbones(config):
        raise UserError(
            f"{folder} names the backbone {backbone}, which transformers would download; "
            "take a model whose config.json describes its backbone."
        )
    for file in _weight_files(folder):
        _check_weights(folder, file)


def reading_of(config: Mapping[str, Any], folder: Path) -> Reading:
    """What the numbers of a model with this config.json mean; UserError for an unknown model."""
    match config.get("model_type"):
        case "dpt":
            # MiDaS's DPT gives nearness. The one published family that gives metres, DINOv2's for
            # NYU and KITTI, is the one with a projection before its head.
            return "distance" if config.get("add_projection") else "nearness"
        case "depth_anything":
            return "distance" if config.get("depth_estimation_type") == "metric" else "nearness"
        case "zoedepth":
            return "zoe"
        case "depth_pro":
            return "nearness"  # one over metres, before its processor's post-processing
        case other:
            raise UserError(
                f"{folder} holds a model of type {other!r}; the depth models known here are "
                "dpt, depth_anything, zoedepth and depth_pro."
            )


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """The JSON object in `folder / name`; UserError if it is missing or is none."""
    try:
        data = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} has no {name}; copy the depth model's whole folder.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{folder / name} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise UserError(f"{folder / name} holds no JSON object, so it describes no depth model.")
    return data


def _outside_backbones(config: Mapping[str, Any]) -> Iterator[str]:
    """The backbones that a config, or one nested in it, asks for by a name on the hub."""
    if isinstance(config.get("backbone"), str):
        yield config["backbone"]
    for value in config.values():
        if isinstance(value, Mapping):
            yield from _outside_backbones(value)


def _weight_files(folder: Path) -> list[str]:
    if (folder / "model.safetensors").exists():
        return ["model.safetensors"]
    index = "model.safetensors.index.json"
    if (folder / index).exists():
        parts = read_json(folder, index).get("weight_map")
        if isinstance(parts, dict) and parts:
            return sorted({str(file) for file in parts.values()})
        raise UserError(f"{folder / index} has no weight_map; download the folder again.")
    pickled = " (its .bin is a pickle, which is not read)" if any(folder.glob("*.bin")) else ""
    raise UserError(f"{folder} has no model.safetensors{pickled}; add the safetensors weights.")


def _check_weights(folder: Path, name: str) -> None:
    from safetensors import SafetensorError, safe_open

    if Path(name).name != name:
        raise UserError(f"{folder} asks for weights outside itself ({name}); this is refused.")
    try:
        with safe_open(folder / name, framework="pt"):
            pass
    except FileNotFoundError:
        raise UserError(f"{folder} lacks its weights {name}; download them again.") from None
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{folder / name} is no whole safetensors file ({error}); download it again."
        ) from error
