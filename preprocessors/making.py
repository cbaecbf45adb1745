"""One hint from one picture: size, settings and preprocessor put together.

The one way for the nodes and the command line alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ..ground.errors import UserError
from ..ground.log import log
from ..ground.parameters import Parameter
from .picture import MAX_EDGE, Bytes
from .pose.draw import DRAWING, draw_pose
from .pose.people import Person, Points, Pose
from .sizing import (
    AUTO_RESOLUTION,
    FITS,
    Fit,
    Picture,
    Placement,
    Size,
    cut,
    looked_at,
    paste,
    place,
    resized,
)
from .spec import Annotator, Hint, Preprocessor

if TYPE_CHECKING:
    import torch

Source: TypeAlias = Picture | tuple[Picture, Picture] | Pose
"""What a preprocessor takes (`spec.Takes`), still at its own size."""

POSE_SIZE: Size = (512, 512)
"""The hint's size for a pose that says none."""

RESOLUTION = Parameter(
    "resolution",
    0,
    "The shorter side, in pixels, at which the network looks at the picture. 0 is the hint's own "
    f"size (pixel perfect), up to {AUTO_RESOLUTION}.",
    low=0,
    high=MAX_EDGE,
    step=8,
)
"""What a user is asked for; `resolution_of` says it of certain preprocessors."""
OWN_RESOLUTION = (
    "The shorter side, in pixels, at which the network looks at the picture. 0 is {}, at which its "
    "publisher's own node looks."
)
FIT = Parameter(
    "fit",
    FITS[0],
    "What becomes of a picture of another shape than the hint: fill cuts off what does not fit, "
    "fit puts bars around it, stretch bends it.",
    choices=FITS,
)


def resolution_of(*entries: Preprocessor) -> Parameter:
    """RESOLUTION as it is for `entries`: one, or all that a menu offers."""
    own = {e.name: e.learning.resolution for e in entries if e.learning and e.learning.resolution}
    if not own:
        return RESOLUTION
    if len(entries) == 1:
        return replace(RESOLUTION, tooltip=OWN_RESOLUTION.format(*own.values()))
    listed = ", ".join(f"{name} {side}" for name, side in own.items())
    return replace(RESOLUTION, tooltip=f"{RESOLUTION.tooltip} Looking at more by itself: {listed}.")


@dataclass(frozen=True)
class Sizing:
    """The size a hint shall have: `size`, or its source's. `resolution` is the shorter side at
    which a network looks at the picture, 0 for its own (`Learning.resolution`) or the hint's."""

    size: Size | None = None
    fit: Fit = "fill"
    resolution: int = 0


@dataclass(frozen=True)
class Made:
    """A hint, and the people in it, in its pixels, where the preprocessor looked for people."""

    hint: Hint
    pose: Pose | None = None


def missed(preprocessor: Preprocessor, made: Made) -> str:
    """What is said where `preprocessor` found nothing and its hint is therefore black: "nobody" or
    "nothing to draw", "" for any other hint."""
    if made.pose is not None:
        return "" if made.pose.people else "nobody"
    return "nothing to draw" if preprocessor.shows == "edges" and not made.hint.any() else ""


@dataclass(frozen=True)
class Loaded:
    """A learned preprocessor, ready on a device."""

    annotator: Annotator
    device: torch.device


def make(
    preprocessor: Preprocessor,
    source: Source,
    settings: Mapping[str, Any],
    sizing: Sizing,
    loaded: Loaded | None = None,
) -> Made:
    """The hint of `source`: H x W x 3 of the size that `sizing` asks for.

    `settings` are complete and checked (`Preprocessor.settings`); `loaded` is needed by a learned
    preprocessor. Raises UserError for what the preprocessor refuses.
    """
    if isinstance(source, Pose):
        size = sizing.size or _canvas(source, POSE_SIZE)
        canvas = _canvas(source, size)
        pose = placed(source, canvas, place(canvas, size, sizing.fit))
        if source.animals:
            log.warning("%s: animals are not drawn: %d of them.", preprocessor.name, source.animals)
        return Made(draw_pose(pose, *size, **settings), pose)
    pictures = list(source) if isinstance(source, tuple) else [source]
    height, width = pictures[0].shape[:2]
    for other in pictures[1:]:
        if other.shape[:2] != (height, width):
            raise UserError(
                f"{preprocessor.name}: the picture is {width} x {height} pixels and its mask "
                f"{other.shape[1]} x {other.shape[0]}; give a mask of the picture's size."
            )
    placement = place((width, height), sizing.size or (width, height), sizing.fit)
    drawing = {p.name: settings[p.name] for p in DRAWING if p.name in settings}
    own = {name: value for name, value in settings.items() if name not in drawing}
    if preprocessor.run is not None:
        parts = [cut(p, placement, preprocessor.takes == "labels") for p in pictures]
        found: Hint | Pose = preprocessor.run(*parts, **own)
    elif loaded is not None:
        seen = _seen(preprocessor, pictures[0], placement, sizing.resolution)
        found = loaded.annotator(seen, loaded.device, **own)
    else:
        raise ValueError(f"{preprocessor.name} is a learned preprocessor and none was loaded")
    if isinstance(found, Pose):
        inner = placement.inner_size
        pose = placed(found, inner, replace(placement, crop=(0, 0, *inner)))
        return Made(draw_pose(pose, *placement.size, **drawing), pose)
    hint = resized(found, placement.inner_size, preprocessor.drawn)
    return Made(cast(Hint, paste(hint, placement, preprocessor.background)))


def _seen(
    preprocessor: Preprocessor, picture: Bytes, placement: Placement, resolution: int
) -> Bytes:
    """The part of `picture` that its network looks at, at the size at which it looks."""
    learning, inner = preprocessor.learning, placement.inner_size
    assert learning is not None
    if learning.any_size and learning.resolution and not resolution:
        # Straight from the picture: by way of a smaller hint its details would be lost.
        own = looked_at(inner, learning.resolution)
        return cut(picture, replace(placement, inner=(0, 0, *own)))
    part = cut(picture, placement)
    return resized(part, looked_at(inner, resolution)) if learning.any_size else part


def placed(pose: Pose, seen: Size, placement: Placement) -> Pose:
    """`pose`, of a picture of the size `seen`, in pixels of the hint where `placement` puts it."""
    canvas = (1.0, 1.0) if pose.fractions else pose.canvas or seen
    left, top, right, bottom = placement.crop
    wide, high = placement.inner_size
    across, down = wide / (right - left), high / (bottom - top)
    from_left, from_top = placement.inner[0] - left * across, placement.inner[1] - top * down
    across, down = across * seen[0] / canvas[0], down * seen[1] / canvas[1]

    def moved(points: Points) -> Points:
        return tuple(
            p and replace(p, x=from_left + across * p.x, y=from_top + down * p.y) for p in points
        )

    people = tuple(
        Person(*map(moved, (p.body, p.left_hand, p.right_hand, p.face, p.feet)))
        for p in pose.people
    )
    return Pose(people, placement.size)


def _canvas(pose: Pose, default: Size) -> Size:
    """The size of the picture that `pose` is of, `default` where it does not say."""
    if pose.canvas is None:
        return default
    return max(1, round(pose.canvas[0])), max(1, round(pose.canvas[1]))
