"""What it saves to keep weights as narrow as their file has them, and what it costs in time.

First the bytes of an SDXL run's weights, counted on the meta device: halves made float32, and
halves kept. Then what one evaluation of SDXL's U-Net takes beside its weights, both sides of the
guidance at 512 px: its real widths and layers with attention one block deep (deeper blocks come one
after another and need no more), measured as the highest resident memory, 3 GB in all. With
`--rounds`, processor's seconds of an evaluation of SD 1.5's U-Net on one thread, kept and whole, in
turns; 6 GB.

With `--packed` instead: what the U-Nets of SD 1.5 and SDXL take packed as in GGUF files, and the
processor's seconds to unpack them all once, from 1.6 million random numbers a kind.

Run: python -m benchmarks.narrow_weights [--edge 512] [--rounds 3] [--packed]
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch
from torch import nn

from controlstack.headless.models.made_weights import settle

GB = 1e9
SDXL: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "layers_per_block": 2,
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": 2816,
}
UPS = ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")
DEPTHS = (1, 2, 10)


def parts() -> dict[str, Callable[[], nn.Module]]:
    """What an SDXL run with one ControlNet loads."""
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    def text(width: int, layers: int) -> nn.Module:
        return CLIPTextModel(
            CLIPTextConfig(
                hidden_size=width,
                intermediate_size=4 * width,
                num_hidden_layers=layers,
                num_attention_heads=width // 64,
            )
        )

    def vae() -> nn.Module:
        return AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        )

    deep = {**SDXL, "transformer_layers_per_block": DEPTHS}
    return {
        "U-Net": lambda: UNet2DConditionModel(up_block_types=UPS, **deep),
        "ControlNet": lambda: ControlNetModel(**deep),
        "text encoders": lambda: nn.ModuleList([text(768, 12), text(1280, 32)]),
        "VAE": vae,
    }


def size(module: nn.Module) -> int:
    """The bytes of a network's weights."""
    return sum(p.numel() * p.element_size() for p in module.parameters())


def counted() -> None:
    """Print the bytes of each part."""
    print("| SDXL, GB of weights | float32 | halves kept | largest layer, made |")
    print("|---|---|---|---|")
    totals = [0.0, 0.0]
    for name, make in parts().items():
        with torch.device("meta"):
            module = make().half()
        whole = 2 * size(module)
        largest = 4 * max(p.numel() for p in module.parameters())
        settle(module, {}, torch.float32)
        totals = [totals[0] + whole, totals[1] + size(module)]
        print(f"| {name} | {whole / GB:.2f} | {size(module) / GB:.2f} | {largest / GB:.2f} |")
    print(f"| all | {totals[0] / GB:.2f} | {totals[1] / GB:.2f} | |", flush=True)


@contextmanager
def peak() -> Iterator[list[int]]:
    """The highest resident bytes inside the block above those at its beginning."""
    import psutil

    process, found, done = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.01):
            found[0] = max(found[0], process.memory_info().rss - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def random_halves(make: Callable[[], nn.Module]) -> nn.Module:
    """A network of random halves, float32 never in memory."""
    with torch.device("meta"):
        module = make().half()
    module.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data.normal_(0, 0.02, generator=generator)
    return module.eval().requires_grad_(False)


def activations(edge: int) -> None:
    """Print what an evaluation of SDXL's U-Net takes beside its weights."""
    from diffusers import UNet2DConditionModel

    unet: Any = random_halves(lambda: UNet2DConditionModel(up_block_types=UPS, **SDXL))
    settle(unet, {}, torch.float32)
    x, text, y = (
        torch.randn(2, *shape) for shape in ((4, edge // 8, edge // 8), (77, 2048), (2816,))
    )
    with peak() as found, torch.no_grad():
        unet(x, torch.tensor(5), text, class_labels=y)
    print(
        f"SDXL's U-Net at {edge} px, two sides: {found[0] / GB:.2f} GB beside its weights",
        flush=True,
    )


def times(edge: int, rounds: int) -> None:
    """Print seconds of an evaluation of SD 1.5's U-Net."""
    from diffusers import UNet2DConditionModel

    def sd15() -> nn.Module:
        return UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)

    nets: dict[str, Any] = {
        "halves kept": random_halves(sd15),
        "whole": random_halves(sd15).float(),
    }
    settle(nets["halves kept"], {}, torch.float32)
    x, text = torch.randn(2, 4, edge // 8, edge // 8), torch.randn(2, 77, 768)
    took: dict[str, list[float]] = {name: [] for name in nets}
    for turn in range(rounds + 1):
        for name in list(nets)[:: 1 if turn % 2 else -1]:
            with torch.no_grad():
                began = time.process_time()
                nets[name](x, torch.tensor(5), text)
            took[name].append(time.process_time() - began)
    kept, whole = (statistics.median(seconds[1:]) for seconds in took.values())
    print(
        f"SD 1.5's U-Net at {edge} px: {kept:.2f} s kept, {whole:.2f} s whole, {kept / whole:.3f}"
    )


def unpacking() -> None:
    """Print bytes and seconds of packed U-Nets."""
    import gguf
    import numpy as np
    from diffusers import UNet2DConditionModel

    from controlstack.model_files.gguf_files import Packed
    from tests.gguf_files import KINDS, packed

    with torch.device("meta"):
        nets = (
            UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8),
            parts()["U-Net"](),
        )
    counts = [sum(p.numel() for p in net.parameters()) for net in nets]
    wholes = " | ".join(f"{4 * count / GB:.2f} | 0" for count in counts)
    print("| kind | bits a number | SD 1.5, GB | unpacked in, s | SDXL, GB | unpacked in, s |")
    print("|---|---|---|---|---|---|")
    print(f"| float32 | 32 | {wholes} |")
    numbers = np.random.default_rng(0).standard_normal((1280, 1280), dtype=np.float32)
    for kind in KINDS:
        data, how = packed(numbers, kind)
        if kind in ("F16", "BF16"):
            continue
        length, size = gguf.GGML_QUANT_SIZES[how]
        blocks = Packed(torch.from_numpy(data), int(how), numbers.shape)
        took = []
        for _ in range(5):
            began = time.process_time()
            blocks.whole()
            took.append((time.process_time() - began) / numbers.size)
        cells = " | ".join(
            f"{size / length * count / GB:.2f} | {statistics.median(took) * count:.0f}"
            for count in counts
        )
        print(f"| {kind} | {8 * size / length:.2f} | {cells} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=0, help="of the seconds; 0 leaves them out")
    parser.add_argument("--edge", type=int, default=512, help="pixels of the picture")
    parser.add_argument("--packed", action="store_true", help="GGUF's kinds instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.packed:
        unpacking()
        return
    counted()
    activations(options.edge)
    if options.rounds:
        times(options.edge, options.rounds)


if __name__ == "__main__":
    main()
