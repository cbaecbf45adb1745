"""Nothing is silently not applied: one call of the host's model is watched taking its residuals.

ComfyUI's U-Net logs a residual that does not fit and goes on without it, and models that know no
control never look. Here both end the run with a sentence. A cache that answers in the model's
place (ComfyUI's EasyCache) looks at nothing either, and that is no fault: marks around the model
tell the two apart. A control that came to no call of the model in a whole run is told at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from typing import Any

import torch
from torch import Tensor

from .call import Call
from .family import other_ways
from .protocols import BaseModel, ControlDict
from .residuals import GROUPS, NotAppliedError, Residuals, check_fit

KEY = "controlstack"
"""Under this key our wrappers and nets are registered with the host, and options hold the runs."""

BLOCK_PATCH = "input_block_patch"
"""The host calls these patches with each feature map that becomes a skip."""

WATCHED = "controlstack_watched"
"""Where the options of a watched call keep the control that is watched."""

Wrappers = Mapping[str, Mapping[str, Sequence[Callable[..., Any]]]]
"""The wrappers that the host finds in its options: kind -> key -> functions."""


Make = Callable[[], Residuals]
"""Runs the nets."""


class Watched(dict[str, list[Tensor | None]]):
    """A control dict that makes its residuals when one of its lists is first asked for, and
    remembers which were: whoever answers in the model's place asks for none.

    `passed` has the marks that the call went past, with whether this control came along; `begun`
    is whether a U-Net's encoder has begun and not ended. With `keep` the residuals stay to be
    looked at; else each is free as soon as the model has taken it off its list.
    """

    def __init__(self, residuals: Residuals | Make) -> None:
        super().__init__({group: [] for group in GROUPS})
        self._make: Residuals | Make | None = residuals
        self._kept: Residuals | None = None
        self.keep = False
        self.asked: set[str] = set()
        self.passed: dict[str, bool] = {}
        self.begun = False

    @property
    def made(self) -> bool:
        """Whether the residuals were made."""
        return self._make is None

    def make(self) -> None:
        """Make the residuals, if nobody has; this counts as nobody's asking."""
        if self._make is None:
            return
        made = self._make() if callable(self._make) else self._make
        self._make = None
        for group, tensors in made.as_dict().items():
            super().__setitem__(group, tensors)
        self._kept = made if self.keep else None

    def residuals(self) -> Residuals:
        """The residuals as they were made, or are now; none where they were not to be kept."""
        self.keep = self.keep or not self.made
        self.make()
        return self._kept or Residuals()

    def asked_for(self, *groups: str) -> Watched:
        """Itself, ready to be read by somebody who asks for these groups."""
        self.make()
        self.asked.update(groups)
        return self

    def __getitem__(self, group: str) -> list[Tensor | None]:
        return dict.__getitem__(self.asked_for(group), group)

    def get(self, group: str, default: Any = None) -> Any:
        """As dict's own."""
        return dict.get(self.asked_for(group), group, default)

    # Whoever walks through it, or copies it, may read everything.

    def __iter__(self) -> Iterator[str]:
        return dict.__iter__(self.asked_for(*GROUPS))

    def items(self) -> Any:
        """As dict's own."""
        return dict.items(self.asked_for(*GROUPS))

    def values(self) -> Any:
        """As dict's own."""
        return dict.values(self.asked_for(*GROUPS))

    def copy(self) -> dict[str, list[Tensor | None]]:
        """As dict's own."""
        return dict.copy(self.asked_for(*GROUPS))

    def pop(self, *args: Any) -> Any:
        """As dict's own."""
        return dict.pop(self.asked_for(*GROUPS), *args)

    def __or__(self, other: Any) -> Any:
        return {**self, **other}

    def __ror__(self, other: Any) -> Any:
        return {**other, **self}

    # What somebody puts in is not to be lost when the residuals are made.

    def __setitem__(self, group: str, tensors: list[Tensor | None]) -> None:
        self.make()
        super().__setitem__(group, tensors)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As dict's own."""
        self.make()
        super().update(*args, **kwargs)

    def unread(self) -> list[str]:
        """The groups that hold residuals and were not asked for; they are made for that."""
        held = self.residuals().groups()
        return [
            group
            for group, tensors in held
            if group not in self.asked and any(residual is not None for residual in tensors)
        ]

    def reached_the_model(self, marked: bool) -> bool:
        """Whether the model itself was called; without marks around it that is taken for granted.

        A model that knows the host's inner wrappers was called where the call went past the last
        of them; one that does not know them, where it went past those of "apply_model". A U-Net of
        which only the first blocks ran has its other blocks from a cache.
        """
        inner = LAST in self.passed or (FIRST not in self.passed and OUTSIDE in self.passed)
        return (inner or not marked) and not self.begun

    def lost(self) -> bool:
        """Whether another patch called the model without this control."""
        return not all(self.passed.values())


OUTSIDE, FIRST, LAST = (f"controlstack_{place}" for place in ("outside", "first", "last"))


def _mark(place: str) -> Callable[..., Any]:
    """A wrapper that only notes that a watched call came by."""

    def passing(executor: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        given = (*args, *kwargs.values())
        for options in given:
            if isinstance(options, dict) and WATCHED in options:
                watched = options[WATCHED]
                watched.passed[place] = any(one is watched for one in given)
        if place == OUTSIDE:
            args = tuple(_as_without_us(one, executor) for one in args)
            kwargs = {name: _as_without_us(one, executor) for name, one in kwargs.items()}
        return executor(*args, **kwargs)

    return passing


def _as_without_us(given: Any, executor: Any) -> Any:
    """Options for a model that is compiled, the same whether or not a stack is there. ComfyUI's
    TorchCompileModel has torch either not look at them again, and a key that was there in one run
    is asked for in the next, or (0.3) compile anew where they differ."""
    if not isinstance(given, dict) or KEY not in given or WATCHED in given:
        return given
    base = getattr(executor, "class_obj", None)
    if base is None or not is_compiled(base, given):
        return given
    wrappers = {
        kind: {name: one for name, one in named.items() if not name.startswith(KEY)}
        for kind, named in given.get("wrappers", {}).items()
    }
    theirs = {key: value for key, value in given.items() if key != KEY}
    return {**theirs, "wrappers": {kind: named for kind, named in wrappers.items() if named}}


_MARKS = {place: [_mark(place)] for place in (OUTSIDE, FIRST, LAST)}


def marked_outside(wrappers: Wrappers) -> Wrappers:
    """The host's `wrappers` with a mark after all that stand around "apply_model"."""
    kind = "apply_model"
    return {**wrappers, kind: {**wrappers.get(kind, {}), OUTSIDE: _MARKS[OUTSIDE]}}


def marked_call(executor: Any) -> Any:
    """The rest of an "apply_model" call that has begun already, with the same mark at its end."""
    marked = copy(executor)
    marked.wrappers = [*executor.wrappers, *_MARKS[OUTSIDE]]
    return marked


def _marked_inside(wrappers: Wrappers) -> Wrappers:
    """The host's `wrappers` with marks before and after those inside the model."""
    kind = "diffusion_model"
    theirs = wrappers.get(kind, {})
    return {**wrappers, kind: {FIRST: _MARKS[FIRST], **theirs, LAST: _MARKS[LAST]}}


def fit_check(blocks: int, watched: Watched) -> Callable[[Tensor, Mapping[str, Any]], Tensor]:
    """An "input_block_patch" for a U-Net of `blocks` encoder blocks that compares shapes.

    It gets each block's features (B, C, h, w) and raises `ResidualMismatchError` where the residual
    that this block, its skip or, at the last block, the middle would be given does not fit, and
    `NotAppliedError` when there are more residuals than places; it tells `watched` where the
    encoder is.
    """

    def check(features: Tensor, options: Mapping[str, Any]) -> Tensor:
        _, block = options["block"]
        residuals = watched.residuals()
        if block == 0:
            _require_places(residuals, blocks)
        # The U-Net takes every list from its end: the last skip first, but the first block first.
        after = blocks - 1 - block
        watched.begun = after > 0
        _check("output", residuals.output, -1 - after, features)
        _check("input", residuals.input, -1 - block, features)
        if after == 0:
            _check("middle", residuals.middle, -1, features)
        return features

    return check


def _require_places(residuals: Residuals, blocks: int) -> None:
    for group, places in zip(GROUPS, (blocks, 1, blocks), strict=True):
        given = getattr(residuals, group)
        left_over = given[: max(len(given) - places, 0)]  # lists are taken from their end
        if any(residual is not None for residual in left_over):
            raise NotAppliedError(
                f"{len(given)} {group} residuals for a U-Net with {places} places for them; use a "
                "ControlNet made for this base model."
            )


def _check(group: str, tensors: Sequence[Tensor | None], place: int, features: Tensor) -> None:
    index = len(tensors) + place
    residual = tensors[index] if index >= 0 else None
    if residual is not None:
        check_fit(f"{group} {index}", residual, features)


class Delivery:
    """Hands residuals to the host's model, and makes sure that they arrive.

    The first call of every combination of controls and shapes is watched; so is every call where
    another patch may change the feature maps' sizes from step to call. `tried` are the controls
    that were to be delivered at some call, `arrived` those that were read at one.
    """

    def __init__(self, base: BaseModel) -> None:
        self._base = base
        self._seen: set[object] = set()
        self.tried: dict[str, None] = {}  # in their order
        self.arrived: set[str] = set()

    def __call__(
        self,
        given: Watched | None,
        call: Call,
        model: Callable[[ControlDict | None, Mapping[str, Any]], Any],
        controls: Sequence[str] = (),
        unreached: Callable[[], Sequence[str]] = tuple,
        inside: bool = False,
    ) -> Any:
        """Call `model(control, options)` with what the `controls` of these names add.

        Args:
            given: None where no control is a net.
            unreached: those that act by patches in the call's options and were not come to yet.
            inside: whether something of ours is put inside the model at this call. Of a compiled
                model such a call is not compiled, nor is one that is watched: both would be traced
                along, for calls in which they are not there.

        Raises:
            NotAppliedError: a residual does not fit, or the model never looked at it or a patch.
        """
        watched = Watched(Residuals()) if given is None else given
        compiled = is_compiled(self._base, call.options)
        early = given is not None and compiled
        kind = (*controls, call.x.shape)  # these decide the residuals' shapes
        self.tried |= dict.fromkeys(controls)
        resized = any(name.startswith(BLOCK_PATCH) for name in call.options.get("patches", ()))
        known = kind in self._seen and not resized
        watched.keep = True if early else watched.keep or not known
        if early:
            watched.make()  # outside of what is compiled
        with uncompiled() if compiled and (inside or not known) else nullcontext():
            if known:
                return model(watched.residuals().as_dict() if early else given, call.options)
            result = model(given, self._watching(call.options, watched))
        reached = watched.reached_the_model(_has_marks(call.options))
        if not reached and given is not None and not given.made:
            return result  # somebody else answered
        unread = watched.unread()
        missed = [name for name in unreached() if name in controls]
        if not unread and not missed:
            self._seen.add(kind)
            self.arrived |= set(controls)
        elif reached:
            raise self._refusal(unread, watched.lost())
        return result

    def _refusal(self, unread: Sequence[str], lost: bool) -> NotAppliedError:
        if not unread:
            return NotAppliedError(
                "the model never came to the blocks that this model patch acts on: another patch "
                f"answers in their place, or {type(self._base).__name__}, the kind of this model, "
                "has none; take the other patch away, or use a model that it was made for."
            )
        if lost:
            return NotAppliedError(
                "another patch on this model calls it without the residuals: the ControlNet would "
                "do nothing; take that patch away."
            )
        return NotAppliedError(
            f"{type(self._base).__name__}, the kind of this model, takes no residuals for "
            f"{' and '.join(unread)}: a ControlNet cannot act on it. Use a model that this "
            f"ControlNet was made for.{other_ways(self._base)}"
        )

    def _watching(self, options: Mapping[str, Any], watched: Watched) -> Mapping[str, Any]:
        inside = _marked_inside(options.get("wrappers", {}))
        options = {**options, WATCHED: watched, "wrappers": inside}
        blocks = getattr(self._base.diffusion_model, "input_blocks", None)
        if blocks is None:  # no U-Net of ComfyUI's
            return options
        patches = options.get("patches", {})
        mine = [*patches.get(BLOCK_PATCH, ()), fit_check(len(blocks), watched)]
        return {**options, "patches": {**patches, BLOCK_PATCH: mine}}


def is_compiled(base: BaseModel, options: Mapping[str, Any]) -> bool:
    """Whether torch compiles the model as a whole (ComfyUI's TorchCompileModel, or a compiled
    module in its place). What is read inside would be traced along with it, nets and all."""
    network: Any = base.diffusion_model
    return (
        "torch.compile" in options.get("wrappers", {}).get("apply_model", {})
        or type(network).__name__ == "OptimizedModule"
        or getattr(network, "_compiled_call_impl", None) is not None
    )


def uncompiled() -> AbstractContextManager[Any]:
    """Inside, torch runs what is compiled as it is written; before torch 2.6, which has no such
    switch, nothing is different."""
    stance = getattr(torch.compiler, "set_stance", None)
    return nullcontext() if stance is None else stance("force_eager")


def _has_marks(options: Mapping[str, Any]) -> bool:
    return OUTSIDE in options.get("wrappers", {}).get("apply_model", {})
