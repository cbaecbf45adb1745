"""The recipe: makes the whole demo model again from seeds, as `controlstack demo-model train` does.

Scenes, then text encoder and U-Net over all cores, then decoder, joint reader and three ControlNets
on the finished U-Net, one core each. Every stage leaves its weights in the work folder and is
skipped where they are there already, so a run that was stopped goes on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from ..evaluation.joint_reader import save_reader
from ..ground.atomic import write_atomic
from ..ground.errors import UserError
from ..ground.lock import working_in
from ..ground.places import require_place
from ..ground.reading import read_text
from ..ground.workers import workers
from ..training.events import Begun, Event, Point
from ..training.processes import run_parallel
from ..training.settings import NetSettings, TrainingSettings
from ..training.trainable import control_net_from
from .build_base import BaseRecipe, Hear, new_unet, plain_attention, save_base, train_base
from .build_control import KINDS, SEED, ControlRecipe, Prompts, SceneBatches, train_control
from .build_data import SceneSet, render_scenes
from .build_files import is_whole, keep, kept
from .build_joints import ReaderRecipe, train_reader
from .build_text import text_encoder, write_tokenizer
from .build_vae import DecoderRecipe, encode_all, new_vae, train_decoder

Report = Callable[[str, Point], None]
"""Called with a stage's name and where it is, in whichever process runs it."""


Stage = TypeVar("Stage", BaseRecipe, DecoderRecipe, ReaderRecipe, ControlRecipe)


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

        def fewer(stage: Stage) -> Stage:
            steps = part(stage.training.steps)
            return replace(stage, training=replace(stage.training, steps=steps))

        return Recipe(
            max(64, part(self.scenes)),
            fewer(self.base),
            fewer(self.decoder),
            fewer(self.reader),
            {kind: fewer(control) for kind, control in self.controls.items()},
        )


LATENTS, BASE, DECODER, READER = (
    f"{stage}.safetensors" for stage in ("latents", "base", "decoder", "reader")
)
"""Files of the work folder; so is one for each kind of ControlNet."""

HINT_CHANNELS = "8,16,32,64"
"""Widths of the ControlNets' hint encoders: at 128 px the usual ones cost as much as the U-Net."""


def _training(steps: int, batch: int, rate: float, ema: float, **more: Any) -> TrainingSettings:
    """What all stages have in common."""
    return TrainingSettings(
        steps, batch, rate=rate, ema=ema, schedule="cosine", warmup=100, precision="bf16",
        log_every=50, **more,
    )  # fmt: skip


_DIFFUSION: Mapping[str, Any] = {"min_snr": 5.0, "offset_noise": 0.3, "timesteps": "stratified"}
_CONTROL = _training(2000, 16, 1e-3, 0.995, new_rate=3e-3, seed=SEED, **_DIFFUSION)

RECIPE = Recipe(
    scenes=30_000,
    base=BaseRecipe(_training(3300, 48, 1.2e-3, 0.999, prompt_dropout=0.1, seed=11, **_DIFFUSION)),
    decoder=DecoderRecipe(_training(3200, 16, 2e-3, 0.995, weight_decay=0.0, seed=5)),
    reader=ReaderRecipe(_training(700, 24, 2e-3, 0.99, seed=31)),
    controls={
        # Without the gain, thin lines went unnoticed for 500 steps; with it, for 100.
        "canny": ControlRecipe(_CONTROL, NetSettings(hint_channels=HINT_CHANNELS, hint_gain=2.5)),
        "depth": ControlRecipe(_CONTROL, NetSettings(hint_channels=HINT_CHANNELS)),
        "pose": ControlRecipe(_CONTROL, NetSettings(hint_channels=HINT_CHANNELS)),
    },
)
"""What made the weights in the repository, on two cores."""


def build(out: Path, work: Path, report: Report, recipe: Recipe = RECIPE, cores: int = 2) -> None:
    """Train everything with `recipe` on `cores` processes of one thread; `out` gets the weights.

    `work` keeps scenes (about 4 GB for the whole recipe), unfinished weights and curves (JSON
    lines). `report` must be a function that other processes can import. Raises UserError where
    `out` or `work` cannot be written, and where `work` is in use or another recipe's.
    """
    require_place(out, "the folder for the weights", folder=True)
    with working_in(work, "making the demo model"):
        _require_recipe(work / "recipe.json", recipe)
        _train(work, report, recipe, cores)
        collect(work, out)


def _require_recipe(path: Path, recipe: Recipe) -> None:
    words = json.dumps(asdict(recipe), indent=1)
    if path.exists() and read_text(path, "the recipe") != words:
        raise UserError(
            f"{path.parent} holds the work of another recipe, such as another --share; name "
            "another folder with --work, or remove it"
        )
    write_atomic(path, words.encode())


def _train(work: Path, report: Report, recipe: Recipe, cores: int) -> None:
    scenes = render_scenes(work / "scenes", recipe.scenes, cores)
    write_tokenizer(work / "tokenizer", scenes.captions)
    if not is_whole(work / LATENTS):
        keep({"latents": encode_all(new_vae(), scenes)}, work / LATENTS)
    if not is_whole(work / BASE):
        run_parallel(_base, (work, recipe, report), cores)
    stages: list[tuple[Callable[..., None], tuple[str, ...]]] = [(_decoder, ()), (_reader, ())]
    stages += [(_control, (kind,)) for kind in KINDS]
    with workers(cores, _one_thread) as pool:
        for job in [pool.submit(stage, work, recipe, report, *more) for stage, more in stages]:
            job.result()


def collect(work: Path, out: Path) -> None:
    """Write what `work` holds to `out`: base/, controlnet-<kind>/ and the joint reader."""
    out.mkdir(parents=True, exist_ok=True)
    vae = new_vae()
    vae.load_state_dict(kept(work / DECODER))
    text, unet = load_base(work)
    save_base(out / "base", vae, text, work / "tokenizer", unet)
    for kind in KINDS:
        copy = control_net_from(unet, NetSettings(hint_channels=HINT_CHANNELS))
        copy.load_state_dict(kept(work / _control_file(kind)))
        copy.half().save_pretrained(out / f"controlnet-{kind}")
    write_atomic(out / "joint-reader.safetensors", (work / READER).read_bytes())


def load_base(work: Path) -> tuple[Any, Any]:
    """(text encoder, U-Net) that the base stage left."""
    tokenizer = _tokenizer(work)
    text, unet = text_encoder(len(tokenizer)), new_unet()
    text.load_state_dict(kept(work / BASE, "text."))
    unet.load_state_dict(kept(work / BASE, "unet."))
    plain_attention(unet)
    return text.eval(), unet


def _base(work: Path, recipe: Recipe, report: Report) -> None:
    scenes, latents = _inputs(work, recipe)
    hear = _recorder(work, "base", report)
    text, unet = train_base(recipe.base, latents, scenes.captions, _tokenizer(work), hear)
    if torch.distributed.is_initialized() and torch.distributed.get_rank() > 0:
        return
    keep(torch.nn.ModuleDict({"text": text, "unet": unet}).state_dict(), work / BASE)


def _decoder(work: Path, recipe: Recipe, report: Report) -> None:
    if is_whole(work / DECODER):
        return
    scenes, latents = _inputs(work, recipe)
    vae = new_vae()
    train_decoder(recipe.decoder, vae, latents, scenes, _recorder(work, "decoder", report))
    keep(vae.state_dict(), work / DECODER)


def _reader(work: Path, recipe: Recipe, report: Report) -> None:
    if is_whole(work / READER):
        return
    scenes, _ = _inputs(work, recipe)
    reader = train_reader(recipe.reader, scenes, _recorder(work, "reader", report))
    save_reader(reader, work / READER)


def _control(work: Path, recipe: Recipe, report: Report, kind: str) -> None:
    if is_whole(work / _control_file(kind)):
        return
    scenes, latents = _inputs(work, recipe)
    text, unet = load_base(work)
    control = recipe.controls[kind]
    prompts = Prompts(text, _tokenizer(work), scenes.captions, control.short)
    batches = SceneBatches.of_kind(kind, scenes, latents, prompts)
    copy = train_control(control, unet, batches, _recorder(work, kind, report))
    keep(copy.state_dict(), work / _control_file(kind))


def _inputs(work: Path, recipe: Recipe) -> tuple[SceneSet, torch.Tensor]:
    return render_scenes(work / "scenes", recipe.scenes, 1), kept(work / LATENTS)["latents"]


def _control_file(kind: str) -> str:
    return f"{kind}.safetensors"


def _tokenizer(work: Path) -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(work / "tokenizer")


def _recorder(work: Path, stage: str, report: Report) -> Hear:
    """Passes points on and adds them to the stage's curve."""
    curve = work / f"{stage}-curve.jsonl"

    def hear(event: Event) -> None:
        if isinstance(event, Begun):
            curve.unlink(missing_ok=True)
        elif isinstance(event, Point):
            with curve.open("a") as lines:
                lines.write(json.dumps(asdict(event)) + "\n")
            report(stage, event)

    return hear


def _one_thread() -> None:
    torch.set_num_threads(1)
