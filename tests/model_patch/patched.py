"""A host of numbers for model patches: they add what their hint is filled with, at every block.

The model is a loop that calls what lies in its options, as ComfyUI's transformers do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from controlstack.model_patch.control import Control, ControlStack
from controlstack.model_patch.patch_net import Given, Patches, PatchNet
from controlstack.model_patch.recorder import Recorder
from controlstack.model_patch.run import Session
from tests.model_patch.recording import BASE, SIZE, hints

BLOCKS = (("refiner", 0, 1), ("input", 0, 3), ("input", 2, 3))
TOKENS = SIZE * SIZE // 4
TEXT = 2
"""Tokens that lie after those of the latent, and are not to be touched."""


class Adds:
    """The host's patch: adds a number a row to `img` in place, where its net adds."""

    def __init__(self, given: Given, kind: str, heard: list[Any]) -> None:
        self.given, self.kind, self.heard = given, kind, heard
        self.strength = 1.0

    def __call__(self, args: dict[str, Any]) -> dict[str, Any]:
        img, block = args["img"], args["block_index"]
        self.heard.append(args)
        group = "refiner" if self.kind == "noise_refiner" else "input"
        if (group, block) in {place[:2] for place in BLOCKS}:
            film = self.given.latent[0] > 1
            numbers = self.given.pictures.mean((0, 1, 2, 3) if film else (1, 2, 3))
            offset, tokens = args.get("img_offset", 0), TOKENS * self.given.latent[0]
            img[:, offset : offset + tokens] += numbers.view(-1, 1, 1) * self.strength
        return args


class AddsToQueries:
    """The host's attention patch: gives a new q, leaves k and v alone."""

    def __init__(self, given: Given) -> None:
        self.given, self.strength = given, 1.0

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, **kwargs: Any) -> dict[str, Any]:
        numbers = self.given.pictures.mean((1, 2, 3))[:, None, None]
        return {"q": q + numbers * self.strength, "k": k, "v": v, "pe": kwargs.get("pe")}


def patch_net(heard: list[Any], kinds: tuple[str, ...], **changes: Any) -> PatchNet:
    def make(base: Any, given: Given) -> Patches:
        heard.append(given)
        made: dict[str, list[Any]] = {
            kind: [AddsToQueries(given) if kind == "attn1_patch" else Adds(given, kind, heard)]
            for kind in kinds
        }

        def set_strength(strength: float) -> None:
            for (function,) in made.values():
                function.strength = strength

        return Patches(made, set_strength)

    told = {"words": "a patch of numbers", "family": "Numbers", "node": "AddNumbers"}
    weights = SimpleNamespace(model=torch.nn.Linear(1, 1))
    given = {"blocks": BLOCKS, "widths": {}, "weights": weights, "latent_hint": False}
    return PatchNet(make=make, **{**told, **given, **changes})


def numbered(
    *numbers: float,
    heard: list[Any] | None = None,
    kinds: tuple[str, ...] = ("noise_refiner", "double_block"),
    net: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Control:
    """A control that adds these numbers to the pictures of a run at every block of `BLOCKS`."""
    made = patch_net([] if heard is None else heard, kinds, **(net or {}))
    return Control(net=made, hint=hints(*numbers), **kwargs)


@contextmanager
def running(
    stack: ControlStack, recorder: Recorder | None = None
) -> Iterator[Callable[..., dict[str, Tensor]]]:
    """A run: call what it gives with the number of rows, and get what was added at each block:
    (rows, tokens, 1), by names as "input 2"."""

    def call(
        rows: int,
        *,
        sigma: float = 5.0,
        latent: Tensor | None = None,
        offset: int = 0,
        called: bool = True,  # whether the model comes to its blocks
        **options: Any,
    ) -> dict[str, Tensor]:
        x = torch.zeros(rows, 4, SIZE, SIZE) if latent is None else latent
        got: dict[str, Tensor] = {}
        tokens = TOKENS * (x.shape[2] if x.ndim == 5 else 1)

        def block(kind: str, index: int, options: Any) -> Tensor:
            img = torch.ones(rows, offset + tokens + TEXT, 1)
            before = img.clone()
            for function in options.get("patches", {}).get(kind, ()):
                args = {"img": img, "block_index": index, "x": x, "vec": torch.arange(rows)}
                args |= {"transformer_options": options} | (
                    {"img_offset": offset} if offset else {}
                )
                img = function(args).get("img", img)
            changed = img - before
            assert not changed[:, :offset].any()
            assert not changed[:, offset + tokens :].any()
            return changed[:, offset : offset + tokens]

        def model(control: Any, options: Any) -> None:
            if control is not None:
                assert {name: control[name] for name in ("input", "middle", "output")}
            if not called:
                return
            got["refiner 0"] = block("noise_refiner", 0, options)
            for index in range(3):
                got[f"input {index}"] = block("double_block", index, options)
            q = k = v = torch.ones(rows, tokens, 1)
            for function in options.get("patches", {}).get("attn1_patch", ()):
                out = function(q, k, v, pe=None, extra_options={"block_index": 0})
                assert out["k"] is k
                assert out["v"] is v
                q = out["q"]
            got["q"] = q - 1.0

        session.apply(None, (x, torch.full((len(x),), sigma), {}, options), BASE, model)
        return got

    with Session(stack, set(), recorder=recorder) as session:
        yield call


def added(stack: ControlStack, rows: int, **given: Any) -> dict[str, Tensor]:
    """What a stack adds in a run of one call."""
    with running(stack) as call:
        return call(rows, **given)


def numbers_of(tokens: Tensor) -> list[float]:
    """The number of each row, where all of a row's tokens have one."""
    assert (tokens == tokens[:, :1]).all()
    return [round(value, 5) for value in tokens[:, 0, 0].tolist()]
