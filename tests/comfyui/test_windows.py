"""Context windows: every frame keeps its own hint and mask, under ComfyUI's own window nodes.

Hints 5 to 8 are inverted, and frames 1 to 4 are looked at, which have nothing to do with those.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from inspect import signature
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.comfyui.models import Shelf
from tests.comfyui.parity import Case, Line, call, case_of, core, noise, on_prompts, ours, picture

FRAMES, LENGTH = 8, 4
NODES = "comfy_extras.nodes_context_windows"


def settings_known() -> Collection[str]:
    """What this ComfyUI's ContextWindowsManual takes."""
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode

    return signature(ContextWindowsManualNode.execute).parameters.keys()


def windowed(model: Any, schedule: str = "standard_static", **changes: Any) -> Any:
    """Through the core's ContextWindowsManual; older ones know fewer settings."""
    settings: dict[str, Any] = {
        "context_length": LENGTH,
        "context_overlap": 0,
        "context_schedule": schedule,
        "context_stride": 1,
        "closed_loop": False,
        "fuse_method": "flat",
        "dim": 0,
        "freenoise": False,
        "causal_window_fix": False,
        **changes,
    }
    told = {name: value for name, value in settings.items() if name in settings_known()}
    return call(NODES, "ContextWindowsManualNode", model=model, **told)


def film(shelf: Shelf, schedule: str = "standard_static", **changes: Any) -> Case:
    """Eight frames from noises of their own.

    ComfyUI 0.3.64 compares the sigmas of all steps with those of all frames, and so samples windows
    only where a schedule has as many sigmas as there are frames.
    """
    steps = 2 if "freenoise" in settings_known() else FRAMES - 1
    case = case_of(shelf, "sd15", latent={"samples": noise(5, FRAMES, 4, 6, 6)}, steps=steps)
    return replace(case, model=windowed(case.model, schedule, **changes))


def hints(inverted: bool = False) -> Tensor:
    """Eight hints; `inverted` from the fifth on."""
    made = picture(9, batch=FRAMES)
    if inverted:
        made[LENGTH:] = 1.0 - made[LENGTH:]
    return made


def changed(case: Case, way: Callable[..., Case], lines: tuple[Line, Line]) -> list[int]:
    """Which of eight frames differ between two lines."""
    one, two = (way(case, [line]).result for line in lines)
    return [frame for frame in range(FRAMES) if not torch.equal(one[frame], two[frame])]


WAYS = pytest.mark.parametrize("way", [ours, on_prompts])


@WAYS
def test_frames_keep_their_hints_where_the_core_mixes_them(
    shelf: Shelf, way: Callable[..., Case], record_property: Callable[[str, object], None]
) -> None:
    """In ComfyUI the hints of all frames are as many as the rows of a window with both prompts:
    the rows of its second prompt get the hints of other frames."""
    net, case = shelf.net("sd15 ldm"), film(shelf, freenoise=True)
    lines = (Line(net, hints()), Line(net, hints(inverted=True)))
    mine, cores = changed(case, way, lines), changed(case, core, lines)
    record_property("frames that change with hints 5 to 8", f"core {cores}, ours {mine}")
    assert mine == [4, 5, 6, 7]
    assert cores == list(range(FRAMES))


@WAYS
@pytest.mark.parametrize(
    ("schedule", "changes"),
    [
        ("standard_static", {}),
        ("standard_static", {"causal_window_fix": True}),
        ("standard_uniform", {"context_overlap": 1, "context_stride": 2}),
        ("looped_uniform", {"context_overlap": 1, "closed_loop": True}),
    ],
    ids=["plain", "a frame before", "strided", "looped"],
)
def test_each_frame_is_what_it_is_alone(
    shelf: Shelf, way: Callable[..., Case], schedule: str, changes: dict[str, Any]
) -> None:
    """Frames know nothing of each other in this model: with windows or without, a frame under its
    own hint and mask is the same, to the rounding of other batches."""
    masks = torch.rand(FRAMES, 48, 48, generator=torch.Generator().manual_seed(4)).round()
    lines = [Line(shelf.net("sd15 ldm"), hints(), mask=masks)]
    case = film(shelf, schedule, **changes)
    plain = replace(case, model=shelf.model("sd15"))
    alone = way(plain, lines).result
    assert (way(case, lines).result - alone).abs().max() < 3e-3 * alone.abs().max()


@WAYS
def test_masks_stay_with_their_frames(shelf: Shelf, way: Callable[..., Case]) -> None:
    net, case = shelf.net("sd15 ldm"), film(shelf)
    masks = torch.ones(FRAMES, 48, 48)
    masks[6] = 0.0
    lines = (Line(net, hints()), Line(net, hints(), mask=masks))
    assert changed(case, way, lines) == [6]
    plain = case.result
    assert torch.equal(way(case, [lines[1]]).result[6], plain[6])
