"""The same stack of controls by this pack and by its peers, over one set of random weights.

Weights in the shapes of Stable Diffusion 1.5 or SDXL (`width` channels at first where these have
320), and one text, hints, seed and sampler (euler, normal, guidance) for all: ComfyUI's own nodes,
Advanced-ControlNet's, this pack in ComfyUI, this pack's embedded host and diffusers' pipelines. All
controls of a run share one net's weights. Those in ComfyUI give one picture, bit for bit.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from controlstack.headless.models.components import given_y
from controlstack.headless.models.control_net import ControlNet
from controlstack.headless.models.vae import SDXL_SCALE
from controlstack.headless.sampling.base_model import BaseModel
from controlstack.headless.sampling.model import Model
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.sample import ksample
from controlstack.model_patch.control import Control
from controlstack.model_patch.patch import patch
from controlstack.training.ldm_layout import ldm_weights, unet_ldm_name

SEED, GUIDANCE, TOKENS, STRENGTH = 1, 5.0, 77, 0.5
WIDTH = 320
"""Channels of both families' first level."""

CACHE_THRESHOLD = 5.0

Run = Callable[[int, int], Any]
"""A picture's latent by so many steps under so many controls."""


@dataclass(frozen=True)
class Family:
    """A family's shapes.

    Args:
        config: ComfyUI's class of it.
        text, pooled: widths of a token's features and of the text's vector; 0 for none.
        depth: transformer blocks of each level's attention; 0 for a level without.
        scale: of the latents.
    """

    config: str
    text: int
    pooled: int
    depth: tuple[int, ...]
    scale: float

    def widths(self, width: int) -> tuple[int, ...]:
        """Channels of each level: they double, up to four times the first."""
        return tuple(width * min(2**level, 4) for level in range(len(self.depth)))

    @property
    def middle(self) -> int:
        """Transformer blocks of the middle, which are those of the deepest level that has any."""
        return next(depth for depth in reversed(self.depth) if depth)

    def diffusers(self, width: int) -> dict[str, Any]:
        """For diffusers' UNet2DConditionModel."""
        widths = self.widths(width)
        down = ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in self.depth]
        up = ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(self.depth)]
        config: dict[str, Any] = {
            "block_out_channels": widths,
            "down_block_types": tuple(down),
            "up_block_types": tuple(up),
            "cross_attention_dim": self.text,
        }
        if not self.pooled:
            return {**config, "attention_head_dim": 8}
        return {
            **config,
            "transformer_layers_per_block": tuple(max(depth, 1) for depth in self.depth),
            "attention_head_dim": tuple(max(each // 64, 1) for each in widths),
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": self.pooled + 6 * 256,
        }

    def comfy(self, width: int) -> dict[str, Any]:
        """For ComfyUI's U-Net, with what its class of the family adds."""
        config = {
            "image_size": 32,
            "in_channels": 4,
            "out_channels": 4,
            "model_channels": width,
            "num_res_blocks": [2] * len(self.depth),
            "channel_mult": [each // width for each in self.widths(width)],
            "transformer_depth": [depth for depth in self.depth for _ in range(2)],
            "transformer_depth_output": [depth for depth in self.depth for _ in range(3)],
            "transformer_depth_middle": self.middle,
            "context_dim": self.text,
            "use_spatial_transformer": True,
            "use_linear_in_transformer": bool(self.pooled),
            "use_temporal_attention": False,
            "legacy": False,
            "adm_in_channels": self.pooled + 6 * 256 if self.pooled else None,
            **({"num_classes": "sequential"} if self.pooled else {}),
        }
        kinds = import_module("comfy.supported_models")
        full: dict[str, Any] = getattr(kinds, self.config)(config).unet_config
        return full


FAMILIES = {
    "sd15": Family("SD15", 768, 0, (1, 1, 1, 0), 0.18215),
    "sdxl": Family("SDXL", 2048, 1280, (0, 2, 10), SDXL_SCALE),
}
SD15 = FAMILIES["sd15"]


def drawn(family: Family = SD15, width: int = WIDTH) -> tuple[nn.Module, nn.Module]:
    """Diffusers' U-Net and ControlNet of a family's shapes with random weights."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    torch.manual_seed(SEED)
    unet = UNet2DConditionModel(**family.diffusers(width))
    network = ControlNetModel.from_unet(unet)
    zeros = (*network.controlnet_down_blocks, network.controlnet_mid_block)
    for layer in (*zeros, network.controlnet_cond_embedding.conv_out):
        nn.init.normal_(layer.weight, std=0.02)
    return unet.eval().requires_grad_(False), network.eval().requires_grad_(False)


class Given:
    """What every run is given."""

    def __init__(self, edge: int, family: Family = SD15) -> None:
        drawing = torch.Generator().manual_seed(SEED)
        self.edge, self.family = edge, family
        self.words = [torch.randn(1, TOKENS, family.text, generator=drawing) for _ in range(2)]
        self.hints = [torch.rand(1, 3, edge, edge, generator=drawing) for _ in range(8)]
        self.pooled = [torch.randn(1, family.pooled, generator=drawing) for _ in range(2)]

    @property
    def latent(self) -> Tensor:
        """An empty one."""
        return torch.zeros(1, 4, self.edge // 8, self.edge // 8)

    @property
    def sides(self) -> list[Any]:
        """The prompt and the negative prompt, as CONDITIONING."""
        if not self.family.pooled:
            return [[[words, {}]] for words in self.words]
        pairs = zip(self.words, self.pooled, strict=True)
        return [[[words, {"pooled_output": pooled}]] for words, pooled in pairs]

    def stack(self, net: Any, controls: int) -> tuple[Control, ...]:
        """So many controls of one net."""
        return tuple(
            Control(net, hint, f"control {number}", STRENGTH)
            for number, hint in enumerate(self.hints[:controls], 1)
        )


def embedded(unet: nn.Module, network: nn.Module, given: Given) -> Run:
    """This pack without ComfyUI."""
    base = BaseModel(_taking_y(unet), DiscreteSampling.from_betas(), given.family.scale)
    model, net = Model(base), ControlNet(_taking_y(network), "net")

    def run(steps: int, controls: int) -> Any:
        patched = patch(model, given.stack(net, controls))
        latent = {"samples": given.latent}
        return ksample(patched, SEED, steps, GUIDANCE, "euler", "normal", *given.sides, latent)

    return run


def _taking_y(network: Any) -> nn.Module:
    """The network as the embedded host makes it, sharing the weights."""
    config, weights = given_y(dict(network.config), network.state_dict)
    with torch.device("meta"):
        known = {key: value for key, value in config.items() if not key.startswith("_")}
        made: nn.Module = type(network)(**known)
    made.load_state_dict(weights(), assign=True)
    return made.eval().requires_grad_(False)


def pipeline(unet: nn.Module, network: nn.Module, given: Given) -> Run:
    """diffusers' own pipeline, with its ControlNets over a MultiControlNetModel for several."""
    import diffusers

    diffusers.utils.logging.set_verbosity_error()
    xl = "XL" if given.family.pooled else ""
    names = ["vae", "text_encoder", "tokenizer"]
    names += ["text_encoder_2", "tokenizer_2"] if xl else ["safety_checker", "feature_extractor"]
    parts: dict[str, Any] = {**dict.fromkeys(names), "unet": unet}
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    texts = {"prompt_embeds": given.words[0], "negative_prompt_embeds": given.words[1]}
    if xl:
        parts["add_watermarker"] = False
        texts |= {
            "pooled_prompt_embeds": given.pooled[0],
            "negative_pooled_prompt_embeds": given.pooled[1],
        }

    def run(steps: int, controls: int) -> Any:
        kind = getattr(diffusers, f"StableDiffusion{xl}{'ControlNet' if controls else ''}Pipeline")
        more: dict[str, Any] = {"width": given.edge, "height": given.edge}
        extra: dict[str, Any] = {}
        if controls:
            nets, hints = [network] * controls, given.hints[:controls]
            several = controls > 1
            extra = {"controlnet": nets if several else network}
            more |= {"image": hints if several else hints[0]}
            scales = [STRENGTH] * controls
            more |= {"controlnet_conditioning_scale": scales if several else STRENGTH}
        made = kind(**parts, scheduler=scheduler, **extra)
        made.set_progress_bar_config(disable=True)
        return made(
            **texts,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            generator=torch.Generator().manual_seed(SEED),
            output_type="latent",
            **more,
        )

    return run


def advanced_apply(path: str) -> Callable[..., Any]:
    """What Apply Advanced ControlNet of the ComfyUI-Advanced-ControlNet at `path` does."""
    sys.path.insert(0, path)
    import_module("adv_control.dinklink").init_dinklink()  # as its `__init__.py` does
    import_module("adv_control.sampling").prepare_dinklink_acn_wrapper()
    node = import_module("adv_control.nodes_main").AdvancedControlNetApply
    return lambda *given: node.execute(*given).args


class Comfy:
    """The ComfyUI at `path` in this process, with the same weights in the same memory."""

    def __init__(self, path: str, unet: nn.Module, network: nn.Module, given: Given) -> None:
        sys.path.insert(0, path)
        import comfy.cli_args

        comfy.cli_args.args.cpu = True
        logging.getLogger().setLevel(logging.ERROR)
        import comfy.cldm.cldm
        import comfy.controlnet
        import comfy.model_base
        import comfy.model_patcher
        import comfy.ops
        import comfy.supported_models

        self.given = given
        family, cpu, empty = given.family, torch.device("cpu"), torch.device("meta")
        shape = family.comfy(int(unet.get_parameter("conv_in.weight").shape[0]))
        config = getattr(comfy.supported_models, family.config)(shape)
        config.set_inference_dtype(torch.float32, None)
        kind = comfy.model_base.SDXL if family.pooled else comfy.model_base.BaseModel
        model = kind(config, device=empty)
        attends = [depth > 0 for depth in reversed(family.depth)]
        named = _taking_y(unet).state_dict()
        weights = {unet_ldm_name(name, 2, attends): weight for name, weight in named.items()}
        model.diffusion_model.load_state_dict(weights, assign=True)
        self.model = comfy.model_patcher.ModelPatcher(model.requires_grad_(False), cpu, cpu)
        outputs = ("out_channels", "transformer_depth_output")
        own = {name: value for name, value in shape.items() if name not in outputs}
        module = comfy.cldm.cldm.ControlNet(
            hint_channels=3,
            operations=comfy.ops.pick_operations(torch.float32, None),
            device=empty,
            dtype=torch.float32,
            **own,
        )
        module.load_state_dict(ldm_weights(_taking_y(network)), assign=True)
        self.net = comfy.controlnet.ControlNet(module.requires_grad_(False), load_device=cpu)

    def core(self, cached: bool = False) -> Run:
        """By ControlNetApplyAdvanced."""
        import nodes

        return self._chained(nodes.ControlNetApplyAdvanced().apply_controlnet, cached)

    def advanced(self, path: str) -> Run:
        """By Apply Advanced ControlNet of the ComfyUI-Advanced-ControlNet at `path`."""
        return self._chained(advanced_apply(path))

    def ours(self, cached: bool = False) -> Run:
        """By a stack on the MODEL."""

        def run(steps: int, controls: int) -> Any:
            patched = patch(self.model, self.given.stack(self.net, controls))
            return self._sampled(self._cached(patched, cached), self.given.sides, steps)

        return run

    def _chained(self, apply: Callable[..., Any], cached: bool = False) -> Run:
        def run(steps: int, controls: int) -> Any:
            sides = self.given.sides
            for hint in self.given.hints[:controls]:
                sides = apply(*sides, self.net, hint.movedim(1, -1), STRENGTH, 0.0, 1.0)
            return self._sampled(self._cached(self.model, cached), sides, steps)

        return run

    def _cached(self, model: Any, cached: bool) -> Any:
        if not cached:
            return model
        node = import_module("comfy_extras.nodes_easycache").EasyCacheNode
        return node.execute(model, CACHE_THRESHOLD, 0.0, 1.0, False).result[0]

    def _sampled(self, model: Any, sides: Sequence[Any], steps: int) -> Any:
        import comfy.sample

        latent = self.given.latent
        noise = comfy.sample.prepare_noise(latent, SEED)
        settings: Any = (steps, GUIDANCE, "euler", "normal")
        with torch.inference_mode():
            return comfy.sample.sample(
                model, noise, *settings, *sides, latent, disable_pbar=True, seed=SEED
            )
