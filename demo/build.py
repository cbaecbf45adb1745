"""The recipe: makes the whole demo model again from seeds, as `controlstack demo-model train` does.

Scenes, then text encoder and U-Net over all cores, then decoder, joint reader and three ControlNets
on the finished U-Net, one core each. Every stage leaves its weights in the work folder and is
skipped where they are there already, so a run that was stopped goes on.
"""

from __future__ import annotations

import json
import math
import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..evaluation.joint_reader import save_reader
from ..training.control_net import ControlRecipe, train_control_net
from ..training.copy import control_net_from
from ..training.loop import Progress
from ..training.parallel import run_parallel
from ..training.settings import NetSettings
from .build_base import (
    BaseRecipe,
    new_unet,
    plain_attention,
    prompt_length,
    save_base,
    tokens_of,
    train_base,
)
from .build_control import KINDS, batches
from .build_data import SceneSet, render_scenes
from .build_joints import ReaderRecipe, train_reader
from .build_text import text_encoder, write_tokenizer
from .build_vae import DecoderRecipe, encode_all, new_vae, train_decoder

Report = Callable[[str, Progress], None]
"""Called with a stage's name and where it is, in whichever process runs it."""


@dataclass(frozen=True)
class Recipe:
    """How many scenes, and how each stage is trained on them."""

    scenes: int
    base: BaseRecipe
    decoder: DecoderRecipe
    reader: ReaderRecipe
    controls: Mapping[str, ControlRecipe]

    def shorter(self, share: float) -> Recipe:
        """`share` (0..1) of the scenes and of every stage's steps, at least a few: a trial run."""

        def part(whole: int) -> int:
            return max(2, math.ceil(whole * share))

        return Recipe(
            max(64, part(self.scenes)),
            replace(self.base, steps=part(self.base.steps)),
            replace(self.decoder, steps=part(self.decoder.steps)),
            replace(self.reader, steps=part(self.reader.steps)),
            {kind: replace(c, steps=part(c.steps)) for kind, c in self.controls.items()},
        )


HINT_CHANNELS = (8, 16, 32, 64)
"""Widths of the ControlNets' hint encoders: at 128 px the usual ones cost as much as the U-Net."""

RECIPE = Recipe(
    scenes=30_000,
    base=BaseRecipe(steps=3300),
    decoder=DecoderRecipe(steps=3200),
    reader=ReaderRecipe(steps=700),
    controls={
        # Without the gain, thin lines went unnoticed for 500 steps; with it, for 100.
        "canny": ControlRecipe(steps=2000, hint_channels=HINT_CHANNELS, hint_gain=2.5),
        "depth": ControlRecipe(steps=2000, hint_channels=HINT_CHANNELS),
        "pose": ControlRecipe(steps=2000, hint_channels=HINT_CHANNELS),
    },
)
"""What made the weights in the repository, on two cores."""


def build(out: Path, work: Path, report: Report, recipe: Recipe = RECIPE, cores: int = 2) -> None:
    """Train everything with `recipe` on `cores` processes of one thread; `out` gets the weights.

    `work` keeps scenes (about 4 GB for the whole recipe), unfinished weights and curves (JSON
    lines). `report` must be a function that other processes can import.
    """
    work.mkdir(parents=True, exist_ok=True)
    scenes = render_scenes(work / "scenes", recipe.scenes, cores)
    write_tokenizer(work / "tokenizer", scenes.captions)
    if not (work / "latents.pt").exists():
        _keep(encode_all(new_vae(), scenes), work / "latents.pt")
    if not (work / "base.pt").exists():
        run_parallel(_base, (work, recipe, report), cores)
    stages: list[tuple[Callable[..., None], tuple[str, ...]]] = [(_decoder, ()), (_reader, ())]
    stages += [(_control, (kind,)) for kind in KINDS]
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores, fresh, _one_thread) as pool:
        for job in [pool.submit(stage, work, recipe, report, *more) for stage, more in stages]:
            job.result()
    collect(work, out)


def collect(work: Path, out: Path) -> None:
    """Write what `work` holds to `out`: base/, controlnet-<kind>/ and the joint reader."""
    out.mkdir(parents=True, exist_ok=True)
    vae = new_vae()
    vae.load_state_dict(torch.load(work / "decoder.pt"))
    text, unet = load_base(work)
    save_base(out / "base", vae, text, work / "tokenizer", unet)
    for kind in KINDS:
        net = NetSettings(hint_channels=",".join(map(str, HINT_CHANNELS)))
        copy = control_net_from(unet, net)
        copy.load_state_dict(torch.load(work / f"{kind}.pt"))
        copy.half().save_pretrained(out / f"controlnet-{kind}")
    (out / "joint-reader.safetensors").write_bytes((work / "reader.safetensors").read_bytes())


def load_base(work: Path) -> tuple[Any, Any]:
    """(text encoder, U-Net) that the base stage left."""
    tokenizer = _tokenizer(work)
    text, unet = text_encoder(len(tokenizer)), new_unet()
    weights = torch.load(work / "base.pt")
    text.load_state_dict(weights["text"])
    unet.load_state_dict(weights["unet"])
    plain_attention(unet)
    return text.eval(), unet


def _base(work: Path, recipe: Recipe, report: Report) -> None:
    scenes, latents = _inputs(work, recipe)
    text, unet = train_base(
        recipe.base,
        latents,
        scenes.captions,
        _tokenizer(work),
        _recorder(work, "base", report),
        lambda text, unet, step: _keep(
            {"text": text.state_dict(), "unet": unet.state_dict()}, work / "base-unfinished.pt"
        ),
    )
    if torch.distributed.is_initialized() and torch.distributed.get_rank() > 0:
        return
    _keep({"text": text.state_dict(), "unet": unet.state_dict()}, work / "base.pt")


def _decoder(work: Path, recipe: Recipe, report: Report) -> None:
    if (work / "decoder.pt").exists():
        return
    scenes, latents = _inputs(work, recipe)
    vae = new_vae()
    train_decoder(
        recipe.decoder,
        vae,
        latents,
        scenes,
        _recorder(work, "decoder", report),
        lambda vae, step: None,
    )
    _keep(vae.state_dict(), work / "decoder.pt")


def _reader(work: Path, recipe: Recipe, report: Report) -> None:
    if (work / "reader.safetensors").exists():
        return
    scenes, _ = _inputs(work, recipe)
    reader = train_reader(recipe.reader, scenes, _recorder(work, "reader", report))
    save_reader(reader, work / "reader.safetensors")


def _control(work: Path, recipe: Recipe, report: Report, kind: str) -> None:
    if (work / f"{kind}.pt").exists():
        return
    scenes, latents = _inputs(work, recipe)
    tokenizer = _tokenizer(work)
    tokens, empty = tokens_of(tokenizer, scenes.captions), tokens_of(tokenizer, [""])
    text, unet = load_base(work)
    control = recipe.controls[kind]
    lengths = prompt_length(tokens, recipe.base.short, control.steps)
    copy = train_control_net(
        control,
        unet,
        text,
        empty,
        batches(kind, scenes, latents, tokens, control.batch, lengths),
        _recorder(work, kind, report),
        lambda copy, step: _keep(copy.state_dict(), work / f"{kind}-unfinished.pt"),
    )
    _keep(copy.state_dict(), work / f"{kind}.pt")


def _inputs(work: Path, recipe: Recipe) -> tuple[SceneSet, torch.Tensor]:
    return render_scenes(work / "scenes", recipe.scenes, 1), torch.load(work / "latents.pt")


def _tokenizer(work: Path) -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(work / "tokenizer")


def _recorder(work: Path, stage: str, report: Report) -> Callable[[Progress], None]:
    """Passes progress on and adds it to the stage's curve."""
    curve = work / f"{stage}-curve.jsonl"
    curve.unlink(missing_ok=True)

    def record(progress: Progress) -> None:
        with curve.open("a") as lines:
            lines.write(json.dumps(asdict(progress)) + "\n")
        report(stage, progress)

    return record


def _keep(value: Any, path: Path) -> None:
    """Save in one move, so that a stop leaves the old file or the new one."""
    unfinished = path.with_suffix(".tmp")
    torch.save(value, unfinished)
    unfinished.replace(path)


def _one_thread() -> None:
    torch.set_num_threads(1)
