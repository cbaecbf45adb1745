"""The demo model's three ControlNets: which scenes and which hints each is trained on, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..training.base import Base
from ..training.batch import Batch, Pick
from ..training.chance import share
from ..training.control_net import Trained, train_control_net
from ..training.objective import scaled_linear_alphas
from ..training.settings import NetSettings, TrainingSettings
from ..training.trainable import control_net_from
from .build_base import Hear, plain_attention, tokens_of
from .build_data import SceneSet

KINDS = ("canny", "depth", "pose")

SEED = 21

Hints = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""Scene numbers (n,) -> hints uint8 (n, 128, 128) grey, or (n, 128, 128, 3)."""


@dataclass(frozen=True)
class ControlRecipe:
    """How a ControlNet is trained, and what it is. `short` is the share of steps whose prompts are
    padded to the longest caption's length only, which is a quarter faster; the others have the
    usual 77 tokens.
    """

    training: TrainingSettings
    net: NetSettings
    short: float = 0.75


def hints_of(kind: str, scenes: SceneSet) -> tuple[Hints, NDArray[np.int64]]:
    """The hints of a kind, and the numbers of the scenes to train on: for poses, those with a
    person.
    """
    if kind == "canny":
        return lambda picked: scenes.canny[picked], np.arange(len(scenes.canny))
    if kind == "depth":
        return lambda picked: scenes.depth[picked], np.arange(len(scenes.depth))
    peopled = np.flatnonzero(~np.isnan(scenes.joints[:, 0, 0]))
    return lambda picked: scenes.pose[picked], peopled


class Prompts:
    """Captions as the demo's text encoder `text` gives them, embedded when they are asked for."""

    def __init__(self, text: Any, tokenizer: Any, captions: list[str], short: float = 0.0) -> None:
        self._text = text
        self._tokens, self._empty = tokens_of(tokenizer, captions), tokens_of(tokenizer, [""])
        end = int(self._tokens[0, -1])
        self._longest = int((self._tokens != end).sum(1).max()) + 2
        self._short = short

    @torch.no_grad()
    def embedded(self, rows: NDArray[np.int64], picks: Sequence[Pick]) -> Tensor:
        """The captions `rows` (n, tokens, 96), the empty one where a pick drops it; a share of the
        batches, told by the first pick's seed, has the fewer tokens.
        """
        dropped = torch.tensor([pick.drop for pick in picks])[:, None]
        tokens = torch.where(dropped, self._empty, self._tokens[rows])
        if share(picks[0].seed, "short") < self._short:
            tokens = tokens[:, : self._longest]
        words: Tensor = self._text(tokens).last_hidden_state
        return words


@dataclass(frozen=True)
class SceneBatches:
    """Scenes as `training.batch.Batches`: `latents` (n, 4, 16, 16) of all scenes, of which row i is
    the scene `scenes[i]`.
    """

    latents: Tensor
    hints: Hints
    prompts: Prompts
    scenes: NDArray[np.int64]

    @classmethod
    def of_kind(
        cls, kind: str, scenes: SceneSet, latents: Tensor, prompts: Prompts
    ) -> SceneBatches:
        """All scenes that a ControlNet of a kind is trained on."""
        hints, suitable = hints_of(kind, scenes)
        return cls(latents, hints, prompts, suitable)

    def __len__(self) -> int:
        return len(self.scenes)

    def load(self, picks: Iterable[Sequence[Pick]], workers: int = 0) -> Iterator[Batch]:
        """See `Batches.load`; all is in memory or mapped, so no worker is needed."""
        for several in picks:
            rows = self.scenes[[pick.row for pick in several]]
            words = self.prompts.embedded(rows, several)
            yield Batch(self.latents[rows], words, hint_tensor(self.hints(rows)))


def train_control(
    recipe: ControlRecipe, unet: Any, batches: SceneBatches, hear: Hear, seed: int = SEED
) -> Any:
    """A ControlNet for `unet`, trained by `recipe`, in fp32."""
    network = control_net_from(unet, recipe.net, seed)
    plain_attention(network)
    base = Base(unet, scaled_linear_alphas(), name="the demo model")
    for event in train_control_net(base, network, batches, recipe.training):
        if not isinstance(event, Trained):
            hear(event)
        elif event.stopped:
            raise KeyboardInterrupt
    return network


def hint_tensor(hints: NDArray[Any]) -> Tensor:
    """uint8 hints, grey (n, H, W) or RGB (n, H, W, 3), as float (n, 3, H, W), 0..1."""
    found = torch.from_numpy(np.ascontiguousarray(hints)).float() / 255
    if found.ndim == 3:
        return found[:, None].expand(-1, 3, -1, -1).contiguous()
    return found.permute(0, 3, 1, 2).contiguous()
