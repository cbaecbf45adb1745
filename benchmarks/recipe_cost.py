"""What a training will ask of a GPU, before one is rented: multiply-adds and memory of a step.

Nothing is run and nothing is downloaded: the networks have their full size and no weights. The
multiply-adds are counted (`torch.utils.flop_counter`) over one picture's way forth and back through
the locked U-Net and its ControlNet; the activations are what autograd would keep of it on a GPU.
Hours follow from a share of the card's speed on paper, which is a guess of ours: what share a step
reaches depends on the card, the size and the kernels, and was measured nowhere here.

Not counted: workspaces of kernels, what the allocator wastes, and the GPU's own context; leave some
room. While a validation runs, a base that trains in halves lies on the GPU as fp32 beside them,
without the activations; that is the second sum. VAE and text encoders compute in fp32, for which
the hours are too few: cache what they give.

Run: python -m benchmarks.recipe_cost [RECIPE.toml ...] [--family sdxl] [--resolution 1024]
     [--batch 1] [--accumulate 1] [--steps 10000] [--precision bf16] [--optimizer adamw]
     [--gradient-checkpointing] [--ema] [--share 0.3] [--network control_lora --rank 64]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from controlstack.ground.latents import LATENT_PIXELS
from controlstack.training.config import read_config, run_settings
from controlstack.training.data.view import picture_size
from controlstack.training.locked_unet import HALVES, locked
from controlstack.training.settings import NetSettings, RunSettings, TrainingSettings
from controlstack.training.trainable import hint_channels, lend

CARDS = {"RTX 3090": 71, "RTX 4090": 165, "A100": 312, "H100 SXM": 989}
"""Peak of bf16 with sums in fp32, without sparsity, in TFLOP/s. Source: NVIDIA's white papers on
GA102, Ada, A100 and H100."""
SHARE = 0.3
"""Of that peak, what a step is supposed to reach."""
TOKENS = 77
_DTYPES = {"fp32": torch.float32, **HALVES}
_STATE = {"adamw": 8, "adamw8bit": 2}
"""Bytes of AdamW's two moments for each weight."""
_VAE = (128, 256, 512, 512)


@dataclass(frozen=True)
class Family:
    """A base's shapes: its U-Net's configuration, and width, layers and heads of its text
    encoders. `pooled` is the width of SDXL's pooled text, 0 without.
    """

    unet: Mapping[str, Any]
    texts: tuple[tuple[int, int, int], ...]
    pooled: int = 0


FAMILIES = {
    "sd15": Family({"cross_attention_dim": 768, "attention_head_dim": 8}, ((768, 12, 12),)),
    "sdxl": Family(
        {
            "block_out_channels": (320, 640, 1280),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2, 10),
            "attention_head_dim": (5, 10, 20),
            "cross_attention_dim": 2048,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        ((768, 12, 12), (1280, 32, 20)),
        pooled=1280,
    ),
}
"""runwayml/stable-diffusion-v1-5 and stabilityai/stable-diffusion-xl-base-1.0, config.json of each
part."""


@dataclass(frozen=True)
class Nets:
    """The networks of a training, without weights."""

    unet: Any
    control: Any
    vae: Any
    texts: tuple[Any, ...]


@dataclass(frozen=True)
class Work:
    """Multiply-adds for one picture: of the U-Net's and the ControlNet's way forth, of a whole
    step, and of the encoders.
    """

    unet: int
    control: int
    step: int
    encoders: int


def nets_of(family: Family, net: NetSettings) -> Nets:
    """The networks for a base of `family`, on the device "meta"."""
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**family.unet).requires_grad_(False)
        if net.kind == "lite":
            from controlstack.training.lite import LiteControlNet

            control: Any = LiteControlNet.for_unet(unet, hint_channels(net.hint_channels))
        elif net.kind == "control_lora":
            from controlstack.training.control_lora import ControlLoraModel

            channels = hint_channels(net.hint_channels)
            control = ControlLoraModel.for_unet(unet, channels, net.rank)
        else:
            control = ControlNetModel.from_unet(
                unet, conditioning_embedding_out_channels=hint_channels(net.hint_channels)
            )
        vae = AutoencoderKL(
            block_out_channels=_VAE,
            down_block_types=["DownEncoderBlock2D"] * len(_VAE),
            up_block_types=["UpDecoderBlock2D"] * len(_VAE),
            layers_per_block=2,
        )
        texts = tuple(
            CLIPTextModel(
                CLIPTextConfig(
                    hidden_size=width,
                    intermediate_size=4 * width,
                    num_hidden_layers=layers,
                    num_attention_heads=heads,
                )
            )
            for width, layers, heads in family.texts
        )
    return Nets(unet, control.train(), vae, texts)


def counted(work: Callable[[], object]) -> int:
    """Multiply-adds of what `work` computes."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops()) // 2


def work_of(nets: Nets, family: Family, size: tuple[int, int]) -> Work:
    """What one picture of `size` (width, height) takes; the networks compute activations twice
    where they are set to.
    """
    with torch.device("meta"):
        given = inputs(family, 1, size)
        picture = torch.empty(1, 3, size[1], size[0])
        tokens = torch.zeros(1, TOKENS, dtype=torch.long)
    plain = (given.noisy, given.times, given.words)
    also = {} if given.added is None else {"added_cond_kwargs": given.added}

    def encode() -> None:
        nets.vae.encode(picture)
        for text in nets.texts:
            text(tokens)

    def step() -> None:
        forth = predicted(nets.unet, nets.control, given, "fp32")
        forth.sum().backward()

    with torch.no_grad():
        unet = counted(lambda: nets.unet(*plain, **also))
        control = counted(lambda: nets.control(*plain, given.hints, **also))
        encoders = counted(encode)
    return Work(unet, control, counted(step), encoders)


def memory_of(
    nets: Nets, family: Family, size: tuple[int, int], settings: TrainingSettings
) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes by what they are: at the end of a step's way forth, and of a validation."""
    weights, locked = numbers(nets.control), numbers(nets.unet)
    halves = settings.precision in HALVES
    width = 2 if halves else 4
    held = {
        "ControlNet, fp32": 4 * weights,
        "AdamW's moments": _STATE[settings.optimizer] * weights,
        "EMA": 4 * weights if settings.ema else 0,
        f"locked U-Net, {settings.precision}": width * locked,
        "VAE and text encoders, fp32": 4 * sum(map(numbers, (nets.vae, *nets.texts))),
    }
    one, two = (kept_of(nets, family, size, count, settings.precision) for count in (1, 2))
    step = {
        **held,
        "gradients": 4 * weights,
        "ControlNet's weights as halves (autocast)": width * weights if halves else 0,
        # What does not grow with the batch are the halves above.
        "activations": settings.batch * (two - one),
    }
    return step, {**held, "base as fp32": 4 * locked if halves else 0}


def numbers(module: nn.Module) -> int:
    """How many numbers a network's weights are."""
    return sum(weight.numel() for weight in module.parameters())


def kept_of(nets: Nets, family: Family, size: tuple[int, int], batch: int, precision: str) -> int:
    """Bytes that autograd keeps of a step's way forth, weights aside. With checkpointing: what is
    kept between the blocks, and what the largest of them keeps when it is computed again.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    # A GPU's autocast is asked, and there need be no GPU.
    with FakeTensorMode(), torch.device("cuda"), ExitStack() as stack:
        unet, control = (type(net).from_config(net.config) for net in (nets.unet, nets.control))
        unet = locked(unet, precision)
        lend(unet, control)
        own = {p.untyped_storage()._cdata for net in (unet, control) for p in net.parameters()}
        kept = Kept(own)
        for net, asked in ((unet, nets.unet), (control, nets.control)):
            if asked.is_gradient_checkpointing:
                net.train().enable_gradient_checkpointing(kept.block)
        given = inputs(family, batch, size)
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(kept.add, _same))
        stack.enter_context(kept.attention())
        predicted(unet, control, given, precision)
    return kept.bytes + kept.largest


class Kept:
    """Counts the tensors that autograd saves, each memory once: `bytes`, and those of the `largest`
    block that is computed again.
    """

    def __init__(self, seen: set[int]) -> None:
        """`seen` are memories that do not count, such as weights."""
        self.bytes = self.largest = 0
        self._seen = set(seen)
        self._held: list[Tensor] = []  # so that no memory's number is given twice
        self._counts: Kept = self

    def add(self, tensor: Tensor) -> Tensor:
        """Count a tensor that is saved."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen:
            self._seen.add(storage._cdata)
            self._held.append(tensor)
            self.bytes += storage.nbytes()
        return tensor

    def block(self, run: Any, *given: Any) -> Any:
        """A block that keeps what it is given alone."""
        for one in given:
            if isinstance(one, Tensor):
                self.add(one)
        self._counts = inner = Kept(self._seen)
        with torch.autograd.graph.saved_tensors_hooks(inner.add, _same):
            result = run(*given)
        self._counts = self
        self._held += inner._held
        self.largest = max(self.largest, inner.bytes)
        return result

    @contextmanager
    def attention(self) -> Iterator[None]:
        """Inside the block, attention keeps what fused kernels keep: queries, keys, values and the
        result, and no table of all pairs.
        """
        whole = F.scaled_dot_product_attention

        def fused(query: Tensor, key: Tensor, value: Tensor, *more: Any, **also: Any) -> Tensor:
            with torch.autograd.graph.saved_tensors_hooks(_same, _same):
                result = whole(query, key, value, *more, **also)
            if result.requires_grad:
                for one in (query, key, value, result):
                    self._counts.add(one)
            return result

        F.scaled_dot_product_attention = fused
        try:
            yield
        finally:
            F.scaled_dot_product_attention = whole


def _same(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True)
class Inputs:
    """What a step is given."""

    noisy: Tensor
    times: Tensor
    words: Tensor
    hints: Tensor
    added: dict[str, Tensor] | None


def inputs(family: Family, batch: int, size: tuple[int, int]) -> Inputs:
    """Inputs for pictures of `size` (width, height), on the device that is chosen outside."""
    width, height = size
    added = None
    if family.pooled:
        pooled = torch.empty(batch, family.pooled)
        added = {"text_embeds": pooled, "time_ids": torch.empty(batch, 6)}
    return Inputs(
        torch.empty(batch, 4, height // LATENT_PIXELS, width // LATENT_PIXELS),
        torch.zeros(batch),
        torch.empty(batch, TOKENS, family.unet["cross_attention_dim"]),
        torch.empty(batch, 3, height, width),
        added,
    )


def predicted(unet: Any, control: Any, given: Inputs, precision: str) -> Tensor:
    """A step's way forth: as `training.locked_unet.predict`, the ControlNet under autocast and the
    locked U-Net in the numbers of its weights.
    """
    also = {} if given.added is None else {"added_cond_kwargs": given.added}
    with _autocast(precision):
        down, middle = control(
            given.noisy, given.times, given.words, given.hints, return_dict=False, **also
        )
    dtype = _DTYPES[precision]
    noisy, words = given.noisy.to(dtype), given.words.to(dtype)
    result: Tensor = unet(
        noisy, given.times, words, return_dict=False, **also,
        down_block_additional_residuals=[one.to(dtype) for one in down],
        mid_block_additional_residual=middle.to(dtype),
    )[0]  # fmt: skip
    return result


@contextmanager
def _autocast(precision: str) -> Iterator[None]:
    """As torch.autocast("cuda"), which does nothing where there is no GPU."""
    if precision == "fp32":
        yield
        return
    before = torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", _DTYPES[precision])
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", False)
        torch.set_autocast_dtype("cuda", before)
        torch.clear_autocast_cache()


def told(name: str, family: Family, settings: RunSettings, share: float) -> Iterator[str]:
    """The lines of a run's page."""
    training, size = settings.training, picture_size(settings.data)
    nets = nets_of(family, settings.network)
    if training.gradient_checkpointing:
        compute_twice(nets)
    pictures = training.batch * training.accumulate
    yield f"{name}: {size[0]} x {size[1]}, {training.steps} steps of {pictures} pictures"
    yield f"  weights: U-Net {_millions(nets.unet)}, ControlNet {_millions(nets.control)}"
    work = work_of(nets, family, size)
    yield (
        f"  multiply-adds a picture: U-Net {_tera(work.unet)} and ControlNet {_tera(work.control)} "
        f"forth, a step {_tera(work.step)}, VAE and text encoders {_tera(work.encoders)}"
    )
    step, validation = memory_of(nets, family, size, training)
    for what, bytes_ in step.items():
        if bytes_:
            yield f"  {bytes_ / 1e9:6.1f} GB  {what}"
    yield f"  {sum(step.values()) / 1e9:6.1f} GB  a step of {training.batch} pictures"
    yield f"  {sum(validation.values()) / 1e9:6.1f} GB  a validation, beside its activations"
    if training.precision == "fp32":
        yield "  hours are told for bf16 and fp16"
        return
    each = work.step if settings.data.cache else work.step + work.encoders
    operations = 2 * each * pictures * training.steps
    hours = {card: operations / (peak * 1e12 * share) / 3600 for card, peak in CARDS.items()}
    cached = "encoded before" if settings.data.cache else "encoded in each step"
    yield f"  hours at {share:.0%} of a card's peak, pictures {cached}:"
    yield "  " + ", ".join(f"{card} {time:.3g}" for card, time in hours.items())


def compute_twice(nets: Nets) -> None:
    """Set U-Net and ControlNet to keep no activations but compute them again."""
    for net in (nets.unet, nets.control):
        net.train().enable_gradient_checkpointing(_computed_twice)


def _computed_twice(run: Any, *given: Any) -> Any:
    from torch.utils.checkpoint import checkpoint

    return checkpoint(run, *given, use_reentrant=False, preserve_rng_state=False)


def _millions(net: nn.Module) -> str:
    return f"{numbers(net) / 1e6:.0f} M"


def _tera(count: int) -> str:
    return f"{count / 1e12:.3g} T"


def main(words: Sequence[str] | None = None) -> None:
    """Print what each recipe, or the run that the flags describe, will ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="*", type=Path, help="settings of a training, as TOML")
    parser.add_argument(
        "--family",
        choices=FAMILIES,
        help="the base; without it SDXL where the recipe's base has xl in its name, else SD 1.5",
    )
    parser.add_argument("--network", default=NetSettings.kind, help="its kind")
    parser.add_argument("--rank", type=int, default=NetSettings.rank, help="of a control_lora")
    parser.add_argument("--resolution", default="512")
    for name in ("batch", "accumulate"):
        parser.add_argument(f"--{name}", type=int, default=1)
    parser.add_argument("--steps", type=int, default=TrainingSettings.steps)
    parser.add_argument("--precision", choices=_DTYPES, default="bf16")
    parser.add_argument("--optimizer", choices=_STATE, default="adamw")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--ema", type=float, default=0.0)
    parser.add_argument("--cache", action="store_true", help="pictures are encoded before")
    parser.add_argument("--share", type=float, default=SHARE, help="of a card's peak")
    flags = parser.parse_args(words)
    runs = {str(path): run_settings(read_config(path)) for path in flags.recipes}
    for name, settings in (runs or {"a training": _of_flags(flags)}).items():
        family = flags.family or ("sdxl" if "xl" in settings.base.path.lower() else "sd15")
        print(*told(f"{name} ({family})", FAMILIES[family], settings, flags.share), sep="\n")


def _of_flags(flags: argparse.Namespace) -> RunSettings:
    names = ("batch", "accumulate", "steps", "precision", "optimizer", "gradient_checkpointing")
    training = {name: getattr(flags, name) for name in (*names, "ema")}
    cache = "cache" if flags.cache else ""
    return run_settings(
        {
            "training": training,
            "data": {"resolution": flags.resolution, "cache": cache},
            "network": {"kind": flags.network, "rank": flags.rank},
        }
    )


if __name__ == "__main__":
    main()
