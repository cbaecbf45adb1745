"""What a user stacks: one frozen `Control` a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import Tensor

from ..ground.errors import UserError
from .blocks import RelativeResolution, Resolution, SoftWeights
from .factors import MAX_STRENGTH, Factor, Sides, Span, StepSpan, Strength
from .mask import Mask, require_mask
from .patch_net import PatchNet
from .protocols import ControlNet
from .speed import EXACT, SPEEDS
from .view import AREA_HINTS, FRAMES, AreaHint, Frames, View

MODES: dict[str, tuple[Factor, ...]] = {
    "balanced": (),
    "cfg_rw": (Sides(cond=1.0, uncond=0.0), Resolution()),
    "prompt is more important": (SoftWeights(),),
    "control is more important": (Sides(cond=1.0, uncond=0.0), SoftWeights()),
    "CFG resolution weighting": (Sides(cond=1.0, uncond=0.0), RelativeResolution()),
}
"""What modes are products of. cfg_rw: the paper's guidance resolution weighting, for which the
prompt's side alone has control (arXiv 2302.05543, 3.4), to the letter; the last one is the same for
every size of picture. The two that are more important are sd-webui-controlnet's control modes."""


@dataclass(frozen=True, eq=False)
class Control:
    """One line of the stack. Never changed, only replaced.

    Args:
        net: a CONTROL_NET of the host, or a model patch of its that controls.
        hint: (B, 3, H, W), 0..1; resized by the net to the size it needs. Of 4 channels the first
            three are taken, a single one stands for all three.
        name: what errors call it.
        strength: factor on every residual, 0..10.
        span: when it is active.
        mask: (B, H, W), 0..1, where it acts; resized to each residual. None: everywhere.
        mode: one of `MODES`.
        vae: the host's VAE, for nets that take latents (SD 3, Flux, Qwen-Image); others ignore it.
        area_hint, frames: what a picture sees of hints and masks, as `View` says.
        inpaint_mask: (B, H, W), 0..1: white is drawn anew; for nets that take one (`inpaint.py`).
        union_types: what a union net takes the hint for, as `union.py` says; () leaves the net
            as it comes.
        also: further factors, which multiply with all of these.
        enabled: a line that is switched off changes nothing, and need not have a net or a hint.
        file: the net's file, by which a preset knows the line; "" where nobody tells.
        inpaint_image: (B, 3, H, W), 0..1, the picture that stays outside of the inpaint_mask, for
            nets that take one beside their hint (Z-Image Fun).
        speed: one of `SPEEDS`: how seldom its net runs.

    Raises:
        UserError: a value out of range, or a picture of the wrong shape.
    """

    net: ControlNet | PatchNet
    hint: Tensor
    name: str = "control"
    strength: float = 1.0
    span: Span | StepSpan = field(default_factory=Span)
    mask: Tensor | None = None
    mode: str = "balanced"
    vae: Any = None
    area_hint: AreaHint = "whole"
    frames: Frames = "repeat"
    inpaint_mask: Tensor | None = None
    union_types: tuple[str, ...] = ()
    also: tuple[Factor, ...] = ()
    enabled: bool = True
    file: str = ""
    inpaint_image: Tensor | None = None
    speed: str = EXACT

    def __post_init__(self) -> None:
        if not 0.0 <= self.strength <= MAX_STRENGTH:
            raise UserError(
                f"{self.name}: strength is {self.strength}; it must be between 0 and "
                f"{MAX_STRENGTH:g}."
            )
        choices = {"mode": MODES, "area_hint": AREA_HINTS, "frames": FRAMES}
        choices["speed"] = SPEEDS
        for what, known in choices.items():
            if (chosen := getattr(self, what)) not in known:
                raise UserError(f"{self.name}: {what} is {chosen!r}; choose {' or '.join(known)}.")
        if not self.enabled:
            return
        if self.net is None:  # what some of ComfyUI's loaders give for a file they cannot read
            raise UserError(
                f"{self.name}: there is no ControlNet on the wire; its loader found none in the "
                "file, so choose another file there."
            )
        object.__setattr__(self, "hint", self._pictures("hint", self.hint))
        if self.inpaint_image is not None:
            picture = self._pictures("inpaint_image", self.inpaint_image)
            object.__setattr__(self, "inpaint_image", picture)
        for what, mask in (("mask", self.mask), ("inpaint_mask", self.inpaint_mask)):
            if mask is not None:
                try:
                    require_mask(what, mask)
                except UserError as error:
                    raise error.at(self.name) from error

    def _pictures(self, what: str, pictures: Tensor) -> Tensor:
        """The pictures with three channels."""
        if pictures.ndim != 4 or pictures.shape[1] not in (1, 3, 4) or 0 in pictures.shape:
            raise UserError(
                f"{self.name}: the {what} has shape {tuple(pictures.shape)}; it must be a picture "
                "with three channels, (batch, 3, height, width; also 1 or 4), and at least one "
                "pixel."
            )
        if not pictures.isfinite().all():
            raise UserError(
                f"{self.name}: the {what} holds NaN or infinite values; look at what the node that "
                "made it was given."
            )
        if pictures.shape[1] == 3:
            return pictures
        return pictures[:, :3] if pictures.shape[1] == 4 else pictures.expand(-1, 3, -1, -1)

    @property
    def silent(self) -> bool:
        """Whether it can never change the picture: switched off, strength 0, an all-zero mask."""
        return not self.enabled or any(factor.silences for factor in self._parts)

    @property
    def view(self) -> View:
        """How its pictures are laid to those that are sampled."""
        return View(self.frames, self.area_hint)

    @property
    def factors(self) -> tuple[Factor, ...]:
        """All that it is multiplied by."""
        return (Strength(0.0),) if self.silent else self._parts

    @property
    def _parts(self) -> tuple[Factor, ...]:
        mask = () if self.mask is None else (Mask(self.mask),)
        laid = tuple(factor.under(self.view) for factor in (*mask, *self.also))
        return (Strength(self.strength), self.span, *MODES[self.mode], *laid)


ControlStack: TypeAlias = tuple[Control, ...]
"""Controls in the order they were added; chaining is `stack + (control,)`."""
