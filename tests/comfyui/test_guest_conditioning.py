"""A stack on the conditioning as a guest: what is left after an error, and what is refused."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from tests.comfyui.models import Shelf
from tests.comfyui.parity import Case, Line, call, case_of, core, on_prompts, picture


def lines_of(shelf: Shelf) -> list[Line]:
    nets = ("sd15 ldm", "sd15 ldm b")
    return [Line(shelf.net(net), picture(i), 0.7) for i, net in enumerate(nets)]


def failing(case: Case, at: int) -> Case:
    """The case on a clone of its model that fails at a call."""
    model, calls = case.model.clone(), iter(range(at))

    def wrapper(executor: Any, *args: Any, **kwargs: Any) -> Any:
        if next(calls, None) is None:
            raise RuntimeError("the machine caught fire")
        return executor(*args, **kwargs)

    model.add_wrapper_with_key("diffusion_model", "fire", wrapper)
    return replace(case, model=model)


@pytest.mark.parametrize("at", [0, 2])
def test_an_error_leaves_nothing_on_the_conditioning(shelf: Shelf, at: int) -> None:
    lines = lines_of(shelf)
    case = on_prompts(case_of(shelf, "sd15"), lines)
    good = case.result
    with pytest.raises(RuntimeError, match="fire"):
        _ = failing(case, at).result
    gc.collect()
    link = case.positive[0][1]["control"]
    while link is not None:
        assert (link._run, link._given) == (None, None)
        link = link.previous_controlnet
    assert torch.equal(case.again, good)
    assert torch.equal(good, core(case_of(shelf, "sd15"), lines).result)


def test_what_shrinks_the_features_ends_the_run_with_a_sentence(shelf: Shelf) -> None:
    """Deep Shrink: the core logs, and goes on without control."""
    plain = case_of(shelf, "sd15", latent={"samples": torch.zeros(1, 4, 8, 8)})
    shrunk = call(
        "comfy_extras.nodes_model_downscale",
        "PatchModelAddDownscale",
        model=plain.model,
        block_number=1,
        downscale_factor=2.0,
        start_percent=0.0,
        end_percent=1.0,
        downscale_after_skip=True,
        downscale_method="bicubic",
        upscale_method="bicubic",
    )
    case = on_prompts(replace(plain, model=shrunk), lines_of(shelf))
    with pytest.raises(UserError, match=r"control 2 .*cannot be added to"):
        _ = case.result
