"""The world of these experiments: the shipped demo model, training scenes and held-out scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from controlstack.demo.build_data import SceneSet, render_scenes
from controlstack.demo.build_vae import encode_all
from controlstack.demo.models import BASE, CONTROL_NETS
from controlstack.demo.scenes import HELD_OUT_SEEDS
from controlstack.demo.score import Task, tasks
from controlstack.training.base import Base

CHUNK = 500
HALVES = True
"""Whether networks compute in bfloat16; where the processor has no instructions for it, that is ten
times slower than fp32.
"""


@dataclass(frozen=True)
class World:
    """The demo model in fp32, and a work folder with `count` training scenes (seeds 0 to count-1).

    What is computed is kept in `work` and read again by the next script.
    """

    work: Path
    count: int

    @cached_property
    def unet(self) -> Any:
        """The demo's U-Net, locked."""
        return unet_from(BASE / "unet")

    @cached_property
    def vae(self) -> Any:
        """The demo's VAE."""
        from diffusers import AutoencoderTiny

        return AutoencoderTiny.from_pretrained(BASE / "vae", torch_dtype=torch.float32)

    @cached_property
    def text(self) -> tuple[Any, Any]:
        """(text encoder, tokenizer)."""
        from transformers import CLIPTextModel, CLIPTokenizer

        encoder = CLIPTextModel.from_pretrained(BASE / "text_encoder", dtype=torch.float32)
        return encoder.eval(), CLIPTokenizer.from_pretrained(BASE / "tokenizer")

    @cached_property
    def scenes(self) -> SceneSet:
        """The training scenes, drawn at the first use."""
        return render_scenes(self.work / "scenes", self.count, 1)

    @cached_property
    def latents(self) -> Tensor:
        """Their latents (count, 4, 16, 16) in the U-Net's scale."""
        path = self.work / f"latents-{self.count}.pt"
        return kept(path, lambda: encode_all(self.vae, self.scenes))

    @cached_property
    def embedded(self) -> Tensor:
        """Their prompts' embeddings (count, 77, 96), half precision."""
        path = self.work / f"words-{self.count}.pt"
        return kept(path, lambda: self.words(self.scenes.captions).half())

    @torch.inference_mode()
    def words(self, prompts: Sequence[str]) -> Tensor:
        """Embeddings (n, 77, 96) of prompts, as the U-Net reads them."""
        encoder, tokenizer = self.text
        padded = tokenizer(list(prompts), padding="max_length", truncation=True)
        tokens = torch.tensor(padded["input_ids"])
        found = [encoder(part).last_hidden_state for part in tokens.split(CHUNK)]
        return torch.cat(found).clone()

    @torch.inference_mode()
    def reconstructed(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pictures uint8 (n, 128, 128, 3) through the VAE and back: the best that a net can do."""
        rgb = hint_tensor(pictures) * 2 - 1
        return pixels_of(self.vae.decode(self.vae.encode(rgb).latents).sample)

    def base(self, unet: Any) -> Base:
        """A U-Net of the demo's kind as the locked model of a training run."""
        from diffusers import DDIMScheduler

        scheduler = DDIMScheduler.from_pretrained(BASE / "scheduler")
        return Base(unet, scheduler.alphas_cumprod, name="the demo model")


def kept(path: Path, make: Any) -> Any:
    """The value in `path`, made and written there first where it is missing."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".tmp")
        torch.save(make(), unfinished)
        unfinished.replace(path)
    return torch.load(path, weights_only=True)


def plain_attention(network: Any) -> Any:
    """`network` with attention as two matrix products, twice as fast to train in bfloat16 on a CPU
    as the fused kernel (see `docs/demo-model.md`).
    """
    from diffusers.models.attention_processor import AttnProcessor

    if hasattr(network, "set_attn_processor"):  # a lite network has no attention
        network.set_attn_processor(AttnProcessor())
    return network


def unet_from(folder: Path) -> Any:
    """A U-Net of the demo's kind in fp32, locked."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(folder, torch_dtype=torch.float32)
    return plain_attention(unet).requires_grad_(False)


def shipped(kind: str) -> Any:
    """The demo's own ControlNet of a kind (canny, depth, pose) in fp32."""
    from diffusers import ControlNetModel

    network = ControlNetModel.from_pretrained(CONTROL_NETS[kind], torch_dtype=torch.float32)
    return plain_attention(network).requires_grad_(False)


def hint_tensor(hints: NDArray[np.uint8]) -> Tensor:
    """Hints uint8, grey (n, h, w) or RGB (n, h, w, 3), as float (n, 3, h, w) in 0..1."""
    found = torch.from_numpy(np.ascontiguousarray(hints)).float() / 255
    if found.ndim == 3:
        return found[:, None].expand(-1, 3, -1, -1).contiguous()
    return found.permute(0, 3, 1, 2).contiguous()


def pixels_of(decoded: Tensor) -> NDArray[np.uint8]:
    """What the VAE decoded, (n, 3, h, w) in -1..1, as uint8 (n, h, w, 3)."""
    pixels = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().byte()
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())


def held_out(count: int, person: bool | None = None) -> list[Task]:
    """The first `count` held-out scenes (at most 64); `person` asks for one with or without."""
    return tasks(person, HELD_OUT_SEEDS[:count])
