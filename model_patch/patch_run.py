"""A model patch in one sampling run: the host's patches, weighed by the control's factors.

Where all factors are 1 the host's patch is called as its own node would have it called, and the
picture is the same in every bit. Else it works on a copy, and what goes on is mixed of before and
after: what has the weight 0 stays as it was, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..ground.errors import UserError, named
from .call import Call
from .control import Control
from .factors import Factor, Weighs, weighing
from .patch_net import PATCH, Function, Given, Patches, PatchNet
from .protocols import BaseModel
from .residuals import Place
from .source import explained
from .view import Seen

KEPT = 8
"""Hints made ready for windows and areas; a further one takes the place of the newest."""

LOOKS = "post_input"
"""The kind of patch that changes nothing: it gets its hint ready."""

CHANGES: Mapping[str, tuple[str, ...]] = {
    **{"double_block": ("img",), "noise_refiner": ("img",), "mlp_patch": ("x",)},
    **{"attn1_patch": ("q", "k", "v"), "attn2_patch": ("q", "k", "v")},
}
"""What a kind of patch changes, by the host's names."""

Felt: TypeAlias = Callable[[Place, str, Sequence[int], Tensor, Tensor], None]
"""Is told a place and the name of what was changed there, which rows of the batch, and their values
(rows, tokens, C) before and after."""


class PatchRun:
    """The host's patches of one control, for one run on one device."""

    def __init__(self, control: Control, net: PatchNet, base: BaseModel) -> None:
        self._control = control
        self._net = net
        self._base = base
        self._made: dict[object, Patches] = {}
        self.reached = False
        """Whether the model came to them."""

    def functions(
        self,
        call: Call,
        rows: Sequence[int],
        strength: float,
        factors: Sequence[Factor],
        felt: Felt | None = None,
    ) -> Mapping[str, list[Function]]:
        """What the model has to call at its blocks, for these rows of a call, by kinds."""
        seen = call.only(rows)
        with explained(self._control, call):
            patches = self._patches(seen)
        patches.set_strength(strength)
        whole = len(rows) == len(call.rows)
        acting = _Acting(
            *(self._net, seen, _sides(call, seen), tuple(rows), whole),
            *(weighing(seen, factors), felt),
        )
        return {
            kind: [self._noting(acting.weighed(kind, function), call) for function in functions]
            for kind, functions in patches.functions.items()
        }

    def close(self) -> None:
        """Let go of what is kept."""
        self._made.clear()

    def _noting(self, function: Function, call: Call) -> Function:
        def called(*args: Any, **kwargs: Any) -> Any:
            self.reached = True
            with named(self._control.name), explained(self._control, call):
                return function(*args, **kwargs)

        return called

    def _patches(self, call: Call) -> Patches:
        pictures = [one for one in self._pictures() if one is not None]
        count = max(len(one) for one in pictures)
        seen = None if self._net.film else self._control.view(call, count)
        key = (call.shape, call.frames if seen is None else seen)
        if key not in self._made:
            if len(self._made) >= KEPT:
                self._made.popitem()
            self._made[key] = self._net.make(self._base, self._given(call, seen, count))
        return self._made[key]

    def _pictures(self) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The hint, the inpainting mask and picture; all (B, C, H, W)."""
        mask = self._control.inpaint_mask
        return (
            self._control.hint,
            None if mask is None else mask[:, None],
            self._control.inpaint_image,
        )

    def _given(self, call: Call, seen: Seen | None, count: int) -> Given:
        hint, mask, picture = self._pictures()
        if seen is None:
            hint = hint[self._film(call, len(hint))]
        else:
            hint = self._each(seen, hint, count)
            mask, picture = (
                None if one is None else self._each(seen, one, count) for one in (mask, picture)
            )
        return Given(
            *(hint, call.shape, call.x.device, self._control.vae),
            *(None if mask is None else mask[:, 0], picture),
        )

    def _each(self, seen: Seen, pictures: Tensor, count: int) -> Tensor:
        """As many as those beside them: the host's patches lay one on the other."""
        if count == 1 and not seen.crops:
            return pictures
        return seen.each(self._control.view.spread(pictures, count))

    def _film(self, call: Call, count: int) -> list[int]:
        """Which of a film's `count` frames belong to the latent frames of a call. The VAE makes one
        of the first frame, and one of each `step` further ones; where there are too few, the last
        one stays."""
        frames = call.frames or (0,)
        if frames == tuple(range(len(frames))) and self._control.frames == "repeat":
            return list(range(count))  # the host's patch fits them itself
        step = int(getattr(self._control.vae, "temporal_compression_decode", lambda: 4)() or 1)
        numbers = [step * frames[0]]
        for frame in frames[1:]:
            numbers += (max(n, 0) for n in range(step * (frame - 1) + 1, step * frame + 1))
        view = self._control.view
        view = replace(view, frames="hold") if view.frames == "repeat" else view
        return [view.number(number, count) for number in numbers]


def _sides(call: Call, seen: Call) -> Sequence[int] | None:
    """The sides of the conditionings that are `seen` of a call, as its options have them.

    The host's patches divide the rows by their number and take the first part for all (Uni3C). Of
    conditionings that lack rows there is one, so that each row is taken for itself.
    """
    sides: Sequence[int] | None = seen.options.get("cond_or_uncond")
    whole = len(seen.rows) * call.chunks == seen.chunks * len(call.rows)
    return sides if sides is None or whole else sides[:1]


@dataclass(frozen=True, eq=False)
class _Acting:
    """One control in one call of the model: `rows` of its batch, all of them where `whole`."""

    net: PatchNet
    seen: Call
    sides: Sequence[int] | None
    rows: tuple[int, ...]
    whole: bool
    weigh: Weighs
    felt: Felt | None

    def weighed(self, kind: str, function: Function) -> Function:
        """The host's patch `function`, so that it acts where and as much as the factors say."""
        if kind == LOOKS:
            return function
        if kind not in CHANGES:
            raise UserError(
                f"{self.net.node} of this host patches {kind}, which ControlStack does not know: "
                "update ControlStack."
            )
        return self._attention(function) if kind.startswith("attn") else self._block(kind, function)

    def _block(self, kind: str, function: Function) -> Function:
        (name,) = CHANGES[kind]

        def patched(args: dict[str, Any]) -> Any:
            before = args[name]
            options = args.get("transformer_options", {})
            block = args.get("block_index", options.get("block_index"))
            offset = args.get("img_offset", 0)
            place = self._place("refiner" if kind == "noise_refiner" else "input", block, before)
            weights = self._weights(place, before, offset)
            if self._untouched(weights):
                return function(args)
            own = self._of_rows(before).clone()
            given = {key: self._of_rows_if(value, len(before)) for key, value in args.items()}
            given |= {name: own, "transformer_options": self._options(options)}
            after = function(given).get(name, own)  # patches may work in place
            return {**args, name: self._mixed(name, before, after, place, weights, offset)}

        return patched

    def _attention(self, function: Function) -> Function:
        def patched(q: Tensor, k: Tensor, v: Tensor, *args: Any, **kwargs: Any) -> Any:
            options = kwargs.get("extra_options") or {}
            place = self._place("input", options.get("block_index"), q)
            weights = self._weights(place, q, 0)
            if self._untouched(weights):
                return function(q, k, v, *args, **kwargs)
            before = {"q": q, "k": k, "v": v}
            own = {name: self._of_rows(value) for name, value in before.items()}
            after = function(*own.values(), *args, **kwargs)
            mixed = {
                name: self._mixed(name, value, after[name], place, weights, 0)
                for name, value in before.items()
                if after.get(name, own[name]) is not own[name]  # the text's stay
            }
            kept = {key: kwargs[key] for key in ("pe", "attn_mask") if key in kwargs}
            return {**before, **kept, **mixed}

        return patched

    def _place(self, group: str, block: Any, like: Tensor) -> Place | None:
        """Where that is; None where the net adds nothing."""
        shape = torch.Size((like.shape[0], self._tokens, like.shape[-1]))
        places = ((place.group, place.block, place) for place in self.net.places(shape))
        return next((place for *key, place in places if key == [group, block]), None)

    @property
    def _tokens(self) -> int:
        """How many tokens a latent has."""
        frames, height, width = self.seen.shape
        return frames * -(-height // PATCH) * -(-width // PATCH)

    def _weights(self, place: Place | None, like: Tensor, offset: int) -> Tensor | None:
        """(rows, tokens, 1); None where all are 1."""
        if place is None:
            return None
        ones = like.new_ones((len(self.rows), self._tokens, 1))
        weights = self.weigh(ones, place)
        return None if weights is ones else weights

    def _untouched(self, weights: Tensor | None) -> bool:
        return weights is None and self.whole and self.felt is None

    def _of_rows(self, value: Tensor) -> Tensor:
        return value if self.whole else value[list(self.rows)]

    def _of_rows_if(self, value: Any, batch: int) -> Any:
        mine = isinstance(value, Tensor) and value.shape[:1] == (batch,)
        return self._of_rows(value) if mine else value

    def _options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        return options if self.sides is None else {**options, "cond_or_uncond": self.sides}

    def _mixed(
        self,
        name: str,
        before: Tensor,
        after: Tensor,
        place: Place | None,
        weights: Tensor | None,
        offset: int,
    ) -> Tensor:
        """All rows as they go on: `before` (B, ..., C) of all, `after` of those acted on."""
        if place is None:
            return before
        old = self._of_rows(before).flatten(1, -2)
        new = after.flatten(1, -2)
        part = slice(offset, offset + self._tokens)
        if weights is not None:  # other frames beside the latent's go with the most of them
            everywhere = weights.amax(1, keepdim=True).repeat(1, old.shape[1], 1)
            everywhere[:, part] = weights
            new = torch.lerp(old, new, everywhere)
        if self.felt is not None:
            self.felt(place, name, self.rows, old[:, part], new[:, part])
        mixed = new.view(after.shape)
        if self.whole:
            return mixed
        return before.index_copy(0, torch.tensor(self.rows, device=before.device), mixed)
