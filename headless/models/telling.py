"""What a file tells of its family beside a network's shape: its sampling, its texts' use."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch

from ...ground.errors import UserError
from ..sampling.model_sampling import DiscreteSampling
from ..sampling.size_conditioning import y_width
from .families import REFINER_WIDTH, RUNS
from .parts import SECOND, Part, text_parts
from .text_encoder import SD1, SD2, TextKind

SD2_WIDTH = 1024
"""Of the text that SD 2.x reads: OpenCLIP ViT-H's."""
_V_BLOCK, _V_SPREAD = 11, 0.09
"""SD 2.x's velocity models are told by how far one bias spreads, of the norm before the attention
in the output block of this number: ComfyUI's rule (`supported_models.py`, SD20)."""
_EDM = {
    "edm_mean": "EDM's noise (Playground v2.5)",
    "edm_vpred.sigma_max": "EDM's noise with velocities (CosXL)",
}


def sampling_of(unet: Any, marks: Collection[str], source: Path) -> DiscreteSampling:
    """The noise schedule of a U-Net without a scheduler's configuration, by ComfyUI's rules.

    `marks` are the names in its file: SDXL's velocity models have a "v_pred" there, and "ztsnr"
    where training began at pure noise. UserError for a sampling that is not known here.
    """
    if y_width(unet):
        for mark, words in _EDM.items():
            if mark in marks:
                raise UserError(f"{source} is sampled with {words}, which does not run here.")
        if "v_pred" in marks:
            return DiscreteSampling.from_betas(
                prediction_type="v_prediction", zero_terminal_snr="ztsnr" in marks
            )
    elif _predicts_velocity(unet):
        return DiscreteSampling.from_betas(prediction_type="v_prediction")
    return DiscreteSampling.from_betas()


def _predicts_velocity(unet: Any) -> bool:
    config = unet.config
    if config.cross_attention_dim != SD2_WIDTH or config.in_channels != 4:
        return False
    level, layer = divmod(_V_BLOCK, config.layers_per_block + 1)
    if level >= len(unet.up_blocks) or not hasattr(unet.up_blocks[level], "attentions"):
        return False
    bias = unet.up_blocks[level].attentions[layer].transformer_blocks[0].norm1.bias
    return bool(torch.std(bias, unbiased=False) > _V_SPREAD)


def texts_of(*paths: Path) -> list[Part]:
    """The text encoder in a file or folder, or SDXL's two in order, "l" before "g": of one
    checkpoint, or of two files or folders in any order. UserError where it is neither; no weight is
    loaded.
    """
    parts = [part for path in paths for part in text_parts(path)]
    if len(parts) == 1:
        kind_of_text(parts[0])
    return parts if len(paths) == 1 else in_order(parts)


def kind_of_text(part: Part) -> TextKind:
    """How a text encoder that is alone is used; UserError for SDXL's second, which never is."""
    width = part.config["hidden_size"]
    if width == REFINER_WIDTH:
        raise UserError(
            f"{part.source} is OpenCLIP bigG, SDXL's second text encoder: DualCLIPLoader loads it "
            "together with CLIP-L; the SDXL refiner, which has it alone, does not run here."
        )
    return SD2 if width == SD2_WIDTH else SD1


def in_order(parts: Sequence[Part]) -> list[Part]:
    """SDXL's two text encoders, "l" before "g"; UserError for others."""
    if [part.source.name == SECOND for part in parts] == [False, True]:
        return list(parts)
    wide = [part.config["hidden_size"] == REFINER_WIDTH for part in parts]
    if sorted(wide) == [False, True]:
        return [parts[wide.index(False)], parts[wide.index(True)]]
    told = " and ".join(f"{p.source} ({p.config['hidden_size']} wide)" for p in parts)
    raise UserError(
        f"{told} are not SDXL's two text encoders, CLIP-L (768) and OpenCLIP bigG "
        f"({REFINER_WIDTH}); {RUNS}."
    )
