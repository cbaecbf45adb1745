"""Small models of the families that model patches act on, and such patches, in memory.

The host's own classes, weights drawn from a seed, as small as their topology allows: the patches'
real files are 3840 (Z-Image) and 3072 (Qwen-Image) wide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .small import CPU, fill

WIDTH = 48
Z_WIDTH = 256  # what its steps are embedded in, whatever the width
CONTEXT = 32
PIXELS = 8


class SmallVae:
    """A VAE's three methods: 8 x 8 pixels make a latent one."""

    def __init__(self) -> None:
        self._mix = torch.randn(16, 3, generator=torch.Generator().manual_seed(5))
        self.encoded = 0

    def encode(self, pictures: Tensor) -> Tensor:
        """(B, H, W, 3) in 0..1 -> (B, 16, h, w)."""
        self.encoded += 1
        small = F.avg_pool2d(pictures.movedim(-1, 1) * 2 - 1, PIXELS)
        return torch.einsum("oc,bchw->bohw", self._mix.to(small), small)

    def spacial_compression_encode(self) -> int:
        """Pixels of a latent one's edge."""
        return PIXELS

    def temporal_compression_decode(self) -> int | None:
        """Frames of a latent one."""
        return None


class FilmVae(SmallVae):
    """As Wan's and Qwen-Image's: pictures are the frames of one film."""

    def encode(self, pictures: Tensor) -> Tensor:
        """(N, H, W, 3) -> (1, 16, (N - 1) // 4 + 1, h, w); frames left over are lost."""
        first, *others = super().encode(pictures)
        groups = [others[i : i + 4] for i in range(0, len(others) - 3, 4)]
        return torch.stack([first, *(torch.stack(group).mean(0) for group in groups)], 1)[None]

    def temporal_compression_decode(self) -> int | None:
        """Frames of a latent one."""
        return 4


def _operations(manual: bool = False) -> dict[str, Any]:
    import comfy.ops

    operations = comfy.ops.manual_cast if manual else comfy.ops.disable_weight_init
    return {"operations": operations, "device": CPU, "dtype": torch.float32}


def _model(config: str, sizes: Mapping[str, Any], seed: int = 1) -> Any:
    import comfy.model_patcher
    import comfy.supported_models

    made = getattr(comfy.supported_models, config)(dict(sizes))
    made.set_inference_dtype(torch.float32, None)
    model = made.get_model({}, device=CPU)
    if hasattr(model.diffusion_model, "llm_adapter"):  # 130 M weights that no test asks
        model.diffusion_model.llm_adapter = torch.nn.Identity()
    fill(model.diffusion_model, seed)
    return comfy.model_patcher.ModelPatcher(model, CPU, CPU)


def _patch(network: torch.nn.Module, seed: int) -> Any:
    import comfy.model_patcher

    fill(network, seed)
    kind = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    return kind(network, load_device=CPU, offload_device=CPU)


def z_image() -> Any:
    """A Z-Image MODEL: all its 30 layers, narrow."""
    sizes = {
        "image_model": "lumina2",
        "patch_size": 2,
        "in_channels": 16,
        "dim": Z_WIDTH,
        "cap_feat_dim": CONTEXT,
        "n_layers": 30,
        "n_heads": 2,
        "n_kv_heads": 2,
        "multiple_of": 8,
        "qk_norm": True,
        "axes_dims": [32, 48, 48],
        "axes_lens": [1536, 512, 512],
        "rope_theta": 256.0,
        "ffn_dim_multiplier": 2.0,
        "z_image_modulation": True,
        "time_scale": 1000.0,
        "pad_tokens_multiple": 32,
    }
    return _model("Lumina2", sizes)


def z_image_patch(seed: int, **config: Any) -> Any:
    """A Z-Image Fun ControlNet; `config` as ComfyUI's loader finds it in a file."""
    from comfy.ldm.lumina.controlnet import ZImage_Control

    sizes = {"dim": Z_WIDTH, "n_heads": 2, "n_kv_heads": 2, "multiple_of": 8} | config
    network = ZImage_Control(**sizes, ffn_dim_multiplier=2.0, **_operations(manual=True))
    return _patch(network, seed)


def qwen_image() -> Any:
    """A Qwen-Image MODEL of three blocks."""
    sizes = {
        "image_model": "qwen_image",
        "num_layers": 3,
        "attention_head_dim": 24,
        "num_attention_heads": 2,
        "joint_attention_dim": CONTEXT,
        "axes_dims_rope": (8, 8, 8),
    }
    return _model("QwenImage", sizes)


def qwen_image_patch(seed: int, blocks: int = 3, width: int = WIDTH, **config: Any) -> Any:
    """A Qwen-Image DiffSynth ControlNet for it."""
    from comfy_extras.nodes_model_patch import QwenImageBlockWiseControlNet

    network = QwenImageBlockWiseControlNet(
        num_layers=blocks, dim=width, **config, **_operations(manual=True)
    )
    return _patch(network, seed)


def wan() -> Any:
    """A Wan MODEL (text to video) of three blocks."""
    sizes = {
        "image_model": "wan2.1",
        "model_type": "t2v",
        "dim": WIDTH,
        "ffn_dim": 64,
        "num_heads": 4,
        "num_layers": 3,
        "text_dim": CONTEXT,
        "in_dim": 16,
        "out_dim": 16,
    }
    return _model("WAN21_T2V", sizes)


def wan_patch(seed: int) -> Any:
    """A Wan Uni3C ControlNet for it, for two of its blocks."""
    from comfy.ldm.wan.uni3c import WanUni3CControlnet

    network = WanUni3CControlnet(
        in_channels=36,
        conv_out_dim=WIDTH,
        dim=WIDTH,
        ffn_dim=64,
        num_heads=4,
        num_layers=2,
        time_embed_dim=WIDTH,
        out_proj_dim=WIDTH,
        mid_channels=16,
        **_operations(manual=True),
    )
    return _patch(network, seed)


def wan_files() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A Wan model of two blocks and a Uni3C of one, by the names and shapes of their files; as
    small as ComfyUI's loaders take: 128 wide for a head of the model, 16 heads in the patch."""
    from comfy.ldm.wan.model import WanModel
    from comfy.ldm.wan.uni3c import WanUni3CControlnet

    from tests.weights import drawn

    with torch.device("meta"):
        model = WanModel(dim=128, ffn_dim=64, num_heads=1, num_layers=2, **_operations())
        patch = WanUni3CControlnet(
            conv_out_dim=64,
            dim=192,
            ffn_dim=64,
            num_layers=1,
            time_embed_dim=128,
            out_proj_dim=128,
            mid_channels=16,
            **_operations(manual=True),
        )

    def weights(network: torch.nn.Module, seed: int) -> dict[str, Tensor]:
        shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        return drawn(shapes, seed, 0.7)

    return weights(model, 1), weights(patch, 2)


def anima() -> Any:
    """An Anima MODEL of three blocks."""
    sizes = {
        "image_model": "anima",
        "max_img_h": 240,
        "max_img_w": 240,
        "max_frames": 128,
        "in_channels": 16,
        "out_channels": 16,
        "patch_spatial": 2,
        "patch_temporal": 1,
        "concat_padding_mask": True,
        "model_channels": WIDTH,
        "num_blocks": 3,
        "num_heads": 2,
        "crossattn_emb_channels": CONTEXT,
        "pos_emb_cls": "rope3d",
        "pos_emb_learnable": True,
        "pos_emb_interpolation": "crop",
        "use_adaln_lora": True,
        "adaln_lora_dim": 16,
    }
    return _model("Anima", sizes)


def anima_weights(seed: int, channels: int = 3, width: int = WIDTH) -> dict[str, Tensor]:
    """An Anima LLLite as its file holds it (named keys, version 2), for blocks 0 and 2."""
    from tests.weights import drawn

    hidden, mlp = 16, 8
    shapes: dict[str, tuple[int, ...]] = {
        "conv1.weight": (8, channels, 4, 4),
        "conv2.weight": (8, 8, 3, 3),
        "conv3.weight": (16, 8, 4, 4),
        "proj.weight": (hidden, 16, 1, 1),
        "proj.bias": (hidden,),
        **{f"conv{i}.bias": (size,) for i, size in ((1, 8), (2, 8), (3, 16))},
        **{
            f"norm{i}.{part}": (s,)
            for i, s in ((1, 8), (2, 8), (3, 16))
            for part in ("weight", "bias")
        },
        **{f"out_norm.{part}": (hidden,) for part in ("weight", "bias")},
    }
    shapes = {f"lllite_conditioning1.{name}": shape for name, shape in shapes.items()}
    for block in (0, 2):
        for target in ("self_attn_q_proj", "self_attn_v_proj", "cross_attn_q_proj", "mlp_layer1"):
            inner = {
                "down": (mlp, width),
                "mid": (mlp, mlp + hidden),
                "cond_to_film": (2 * mlp, hidden),
                "up": (width, mlp),
            }
            name = f"lllite_dit_blocks_{block}_{target}"
            shapes |= {f"{name}.{layer}.weight": shape for layer, shape in inner.items()}
            shapes |= {f"{name}.{layer}.bias": shape[:1] for layer, shape in inner.items()}
            shapes[f"{name}.depth_embed"] = (hidden,)
    return drawn(shapes, seed, 0.7)


def anima_patch(seed: int, channels: int = 3, **metadata: str) -> Any:
    """An Anima LLLite."""
    from comfy.ldm.anima.lllite import AnimaLLLite

    weights = anima_weights(seed, channels)
    told = {f"lllite.{name}": value for name, value in metadata.items()}
    return _patch(AnimaLLLite(weights, told, **_operations(manual=True)), seed)


@dataclass(frozen=True)
class Kind:
    """A kind of patch: its model, its node in ComfyUI, and what that is given.

    `frames` of the latent: 0 where it has none.
    """

    family: str
    model: Callable[[], Any]
    patch: Callable[[int], Any]
    node: str
    picture: str = "image"
    vae: Callable[[], Any] | None = None
    frames: int = 0
    inputs: Mapping[str, str] = field(default_factory=dict)  # the node's -> Add ControlNet's
    spans: bool = False  # whether the node has a range


def _z(**config: Any) -> Callable[[int], Any]:
    return lambda seed: z_image_patch(seed, **config)


_REFINED = {"additional_in_dim": 17, "refiner_control": True}
_INPAINT = {"mask": "inpaint_mask"}
_PICTURE = {"mask": "inpaint_mask", "inpaint_image": "inpaint_image"}


def _z_kind(patch: Callable[[int], Any], inputs: Mapping[str, str] = {}) -> Kind:
    return Kind("Z-Image", z_image, patch, "ZImageFunControlnet", vae=SmallVae, inputs=inputs)


def _qwen_kind(**config: Any) -> Kind:
    return Kind(
        "Qwen-Image",
        qwen_image,
        lambda seed: qwen_image_patch(seed, **config),
        "QwenImageDiffsynthControlnet",
        vae=FilmVae,
        frames=1,
        inputs=_INPAINT if config else {},
    )


def _anima_kind(channels: int, **metadata: str) -> Kind:
    return Kind(
        "Anima",
        anima,
        lambda seed: anima_patch(seed, channels, **metadata),
        "AnimaLLLiteApply",
        frames=1,
        inputs=_INPAINT if channels == 4 else {},
        spans=True,
    )


KINDS = {
    "z-image union": _z_kind(_z()),
    "z-image 2.1": _z_kind(_z(n_control_layers=15, **_REFINED), _PICTURE),
    "z-image 2.1, first weights": _z_kind(
        _z(n_control_layers=15, broken=True, **_REFINED), _PICTURE
    ),
    "z-image lite": _z_kind(_z(n_control_layers=3, **_REFINED), _PICTURE),
    "qwen-image": _qwen_kind(),
    "qwen-image inpaint": _qwen_kind(additional_in_dim=4),
    "anima": _anima_kind(3),
    "anima inpaint": _anima_kind(4, inpaint_masked_input="true"),
    "wan uni3c": Kind(
        "Wan",
        wan,
        wan_patch,
        "WanUni3CControlnetApply",
        picture="render_video",
        vae=FilmVae,
        frames=3,
        spans=True,
    ),
}
