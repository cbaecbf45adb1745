"""A picture -> how near each of its points is, by a depth model of transformers in a local folder.

Near is white, as the depth ControlNets were trained (MiDaS maps, lllyasviel/ControlNet). Nothing is
ever fetched: what is missing from the folder is said. Runs on the processor.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import UserError
from ..picture import checked_rgb
from .depth_folder import Reading, check_depth_model, read_json, reading_of

ZOE_PERCENTILES = (2, 85)
"""The range of distances that is kept, in percent of the pixels:
https://github.com/huggingface/controlnet_aux/blob/master/src/controlnet_aux/zoe/__init__.py"""

UNUSED_WEIGHTS = ("fusion_stage.layers.0.residual_layer1.", "mask_token", "pooler.")
"""Weights that no depth passes through and that published files (Intel/dpt-large) lack."""


@dataclass(frozen=True)
class DepthModel:
    """A loaded network with the preparation its pictures need."""

    network: Any
    processor: Any
    reading: Reading


def load_depth_model(folder: Path) -> DepthModel:
    """The model in `folder`; the last two stay loaded, until their files change.

    Raises UserError for what `check_depth_model` refuses, and for weights that leave gaps.
    """
    check_depth_model(folder)
    changed = max(file.stat().st_mtime_ns for file in folder.iterdir())
    return _load(folder.resolve(), changed)


def estimate_depth(image: npt.NDArray[np.uint8], model: DepthModel) -> npt.NDArray[np.float32]:
    """How near each pixel of `image` (uint8 RGB, H x W x 3) is: float32, H x W, 0 far to 1 near.

    A picture without any depth comes out black. Raises UserError where the model gives no numbers,
    and for a picture too small or too narrow for it.
    """
    picture = checked_rgb(image, "The depth model")
    height, width = picture.shape[:2]
    try:
        raw = _predict(picture, model)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        raise UserError(
            f"This depth model cannot take a picture of {width} x {height} pixels "
            f"({_first_line(error)}); give it another size."
        ) from error
    return nearness(raw, model.reading)


def nearness(raw: npt.NDArray[np.float32], reading: Reading) -> npt.NDArray[np.float32]:
    """What a model said (H x W, any range) as 0 (the farthest) to 1 (the nearest point).

    Raises UserError for numbers that are not finite.
    """
    if not np.isfinite(raw).all():
        raise UserError("The depth model gave no finite numbers; its weights are damaged.")
    percentiles = ZOE_PERCENTILES if reading == "zoe" else (0, 100)
    low, high = (float(value) for value in np.percentile(raw, percentiles))
    if high <= low:
        return np.zeros_like(raw)
    level: npt.NDArray[np.float32] = np.clip((raw - low) / (high - low), 0, 1).astype(np.float32)
    return level if reading == "nearness" else np.float32(1) - level


def _predict(picture: npt.NDArray[np.uint8], model: DepthModel) -> npt.NDArray[np.float32]:
    """The model's own numbers for `picture`, resized to its H x W."""
    import torch

    size = picture.shape[:2]
    with torch.inference_mode():
        inputs = model.processor(
            images=picture, return_tensors="pt", input_data_format="channels_last"
        )
        output = model.network(pixel_values=inputs["pixel_values"])
        if model.reading == "zoe":  # its processor pads the picture, and knows how to unpad
            found = model.processor.post_process_depth_estimation(output, source_sizes=[size])
            depth = found[0]["predicted_depth"]
        else:
            depth = torch.nn.functional.interpolate(
                output.predicted_depth[:, None], size=size, mode="bicubic"
            )[0, 0]
    raw: npt.NDArray[np.float32] = depth.numpy()
    return raw


@lru_cache(maxsize=2)
def _load(folder: Path, changed: int) -> DepthModel:
    import transformers

    library: Any = transformers  # partly typed
    only_here = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _quiet(library.utils.logging):
            network, loading = library.AutoModelForDepthEstimation.from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, **only_here
            )
            processor = library.AutoImageProcessor.from_pretrained(folder, **only_here)
    except Exception as error:  # a config can make the library raise anything
        raise UserError(
            f"{folder} cannot be loaded as a depth model: {_first_line(error)}"
        ) from error
    missing = [n for n in loading["missing_keys"] if not any(part in n for part in UNUSED_WEIGHTS)]
    if missing:
        raise UserError(
            f"The weights in {folder} lack {len(missing)} of the model's tensors, "
            f"among them {min(missing)}; download the folder again."
        )
    reading = reading_of(read_json(folder, "config.json"), folder)
    return DepthModel(network.float().eval(), processor, reading)


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """No tables of weights and no bars while loading; the settings found come back after."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return textwrap.shorten(line, 160)
