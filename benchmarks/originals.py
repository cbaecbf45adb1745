"""Hints of photos beside what their publishers' own steps make: `python -m benchmarks.originals
--mteed MTEED.pth`.

Anyline with its real weights (see docs/annotators.md), on photos that scikit-image ships: how
bright its lines are beside the publisher's, and how both correlate, at Anyline's own resolution and
at that of the hint. Depth Anything: the pixels that the authors' code would look at, how alike ours
are, and what looking at them costs on one CPU thread, with random weights of the small model.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy import ndimage

from controlstack.preprocessors.learned.anyline import ANYLINE
from controlstack.preprocessors.learned.depth_input import lower_bound
from controlstack.preprocessors.learned.networks import annotators
from controlstack.preprocessors.making import Loaded, Sizing, make

Array = npt.NDArray[Any]
CPU = torch.device("cpu")
PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "retina.jpg")
EDGE = 512
"""Pixels of a hint's shorter side, beside the photo's own."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photo(name: str) -> Array:
    """A photo of scikit-image, RGB, uint8."""
    import skimage

    with Image.open(Path(skimage.__file__).parent / "data" / name) as opened:
        return np.array(opened.convert("RGB"))


def anyline_by_its_publisher(picture: Array, network: torch.nn.Module) -> Array:
    """The steps of ComfyUI-Anyline's node, which has comfyui_controlnet_aux make both layers at
    1280 px of the shorter side, padded to multiples of 64: H x W in 0..1."""
    scale = 1280 / min(picture.shape[:2])
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    large = cv2.resize(
        picture, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    )
    down, right = (-side % 64 for side in large.shape[:2])
    seen = np.pad(large, ((0, down), (0, right), (0, 0)), mode="edge")
    with torch.inference_mode():
        scales = network(torch.from_numpy(seen).permute(2, 0, 1)[None].float())
    edge = torch.sigmoid(torch.cat(scales).mean(dim=0)[0]).numpy()
    edge = np.minimum(np.floor(edge * 3) / 2, 1)[: size[1], : size[0]]
    detector = annotators("lineart_standard").LineartStandardDetector()
    strokes = detector(large, 2.0, 3, detect_resolution=1280, output_type="np")[..., 0] / 255
    strokes = cv2.resize(strokes, size)
    patches, _ = ndimage.label(strokes > 0)
    strokes *= (np.bincount(patches.ravel()) >= 12)[patches]  # 36 over three channels
    return np.asarray(1 - (1 - strokes) * (1 - edge))


def anyline(weights: Path) -> None:
    """Print a line for each photo and size of hint."""
    assert ANYLINE.learning is not None
    annotator = ANYLINE.learning.load([weights])
    loaded, settings = Loaded(annotator, CPU), ANYLINE.settings({})
    print("Anyline: mean brightness as a part of the publisher's, and correlation with it")
    print(f"{'photo':>20}{'hint':>12}{'by itself':>16}{'at its size':>16}")
    for name in PHOTOS:
        picture = photo(name)
        wanted = anyline_by_its_publisher(picture, annotator.networks[0])
        height, width = picture.shape[:2]
        small = EDGE / min(height, width)
        for size in ((width, height), (round(width * small), round(height * small))):
            beside = cv2.resize(wanted, size, interpolation=cv2.INTER_AREA)
            row = f"{name:>20}{size[0]:>7} x{size[1]:>4}"
            for resolution in (0, min(size)):
                sizing = Sizing(size, "fill", resolution)
                hint = make(ANYLINE, picture, settings, sizing, loaded).hint[..., 0] / 255
                alike = np.corrcoef(hint.ravel(), beside.ravel())[0, 1]
                row += f"{hint.mean() / beside.mean():>9.2f}{alike:>7.3f}"
            print(row, flush=True)


def depth_anything() -> None:
    """Print what the authors' code, ours and transformers' processor make of one photo."""
    import transformers

    picture = photo("rocket.jpg")
    height, width = picture.shape[:2]
    size = lower_bound((width, height), (518, 518), 14)
    authors = cv2.resize(picture / 255.0, size, interpolation=cv2.INTER_CUBIC)
    authors = ((authors - MEAN) / STD).transpose(2, 0, 1)
    processor = transformers.DPTImageProcessor(
        size={"height": 518, "width": 518}, keep_aspect_ratio=True, ensure_multiple_of=14,
        image_mean=MEAN, image_std=STD, resample=3,
    )  # fmt: skip
    as_it_is: Any = {"images": picture, "return_tensors": "pt"}
    ours: Any = {"size": {"height": size[1], "width": size[0]}, "keep_aspect_ratio": False}
    shown = {
        "ours": processor(**as_it_is, **ours)["pixel_values"],
        "the processor's": processor(**as_it_is)["pixel_values"],
    }
    alike = np.corrcoef(authors.ravel(), shown["ours"].numpy().ravel())[0, 1]
    print(f"\nDepth Anything: {width} x {height} pixels, correlation with the authors' {alike:.4f}")
    network = _small_depth_anything()
    for name, values in shown.items():
        part = values[0, 0].numel() / (size[0] * size[1])
        with torch.inference_mode():
            network(pixel_values=values)
            began = time.process_time()
            network(pixel_values=values)
        seconds = time.process_time() - began
        print(f"{name:>20}{values.shape[3]:>7} x{values.shape[2]:>4}{part:>9.2f}{seconds:>9.2f} s")


def _small_depth_anything() -> torch.nn.Module:
    """Depth-Anything-V2-Small's shape, with random weights."""
    import transformers

    backbone = transformers.Dinov2Config(
        hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518, patch_size=14,
        out_indices=[3, 6, 9, 12], apply_layernorm=True, reshape_hidden_states=False,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=384, fusion_hidden_size=64,
        neck_hidden_sizes=[48, 96, 192, 384], head_hidden_size=32,
    )  # fmt: skip
    network: torch.nn.Module = transformers.DepthAnythingForDepthEstimation(config).eval()
    return network


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--mteed", type=Path, help="Anyline's MTEED.pth; left out without it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.mteed is not None:
        anyline(options.mteed)
    depth_anything()


if __name__ == "__main__":
    main()
