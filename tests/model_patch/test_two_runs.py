"""Two sampling runs of one patched MODEL at the same time: each gives the picture it gives alone.

Two threads take turns at every wrapper of every step and within the U-Net, so that each always
comes back to what the other has left behind.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.headless.models.loading import load_control_net
from controlstack.headless.sampling.model import Model
from controlstack.headless.sampling.sample import ksample
from controlstack.model_patch.applied import KEY
from controlstack.model_patch.control import Control, ControlStack
from controlstack.model_patch.factors import StepSpan
from controlstack.model_patch.patch import patch
from tests.headless.models.t2i_files import adapter, save_adapter
from tests.model_patch.stacks import NEGATIVE, POSITIVE, UNET, control, hint, net
from tests.tiny import tiny_model

PATIENCE = 60.0  # seconds, for a machine that is busy

WRAPPED = ("outer_sample", "sampler_sample", "predict_noise", "calc_cond_batch", "apply_model")

LEFT, RIGHT = (8, 8, 0, 0), (8, 8, 0, 8)


class Turns:
    """Two threads of which one runs at a time; each hands over wherever it says so."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[int] = []
        self._turn: int | None = None
        self._among: set[int] = set()
        self.handed_over = 0

    def begin(self) -> None:
        """This thread takes part; it goes on once both do."""
        with self._changed:
            self._among.add(threading.get_ident())
            self._turn = self._turn or threading.get_ident()
            self._changed.notify_all()
            self._wait(lambda: len(self._among) == 2)
            self._wait(self._mine)

    def hand_over(self) -> None:
        """Let the other go on until it hands over, or has ended."""
        with self._changed:
            others = self._among - {threading.get_ident()}
            if others:
                (self._turn,) = others
                self.handed_over += 1
                self._changed.notify_all()
                self._wait(self._mine)

    def end(self) -> None:
        """This thread takes no part any more."""
        with self._changed:
            self._among.discard(threading.get_ident())
            self._turn = next(iter(self._among), None)
            self._changed.notify_all()

    def _mine(self) -> bool:
        return self._turn == threading.get_ident()

    def _wait(self, until: Callable[[], bool]) -> None:
        assert self._changed.wait_for(until, PATIENCE), "the other thread never came"


def run(model: Model, **changed: Any) -> Tensor:
    given: dict[str, Any] = {"steps": 4, "seed": 7, "size": (8, 8), "sampler": "euler", "areas": ()}
    given |= changed
    positive = [
        [text, {**options, "area": area}] for text, options in POSITIVE for area in given["areas"]
    ]
    latent = {"samples": torch.zeros(given.get("batch", 1), 4, *given["size"])}
    made = ksample(
        *(model, given["seed"], given["steps"], 5.0, given["sampler"], "normal"),
        *(positive or POSITIVE, NEGATIVE, latent),
    )
    samples: Tensor = made["samples"]
    return samples


def both_at_once(model: Model, runs: list[dict[str, Any]]) -> tuple[list[Any], Turns]:
    """What each run gives, or the error it ends with, while the two take turns."""
    turns = Turns()
    taking_turns = model.clone()

    def hand_over(executor: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        turns.hand_over()
        result = executor(*args, **kwargs)
        turns.hand_over()
        return result

    for kind in (
        "outer_sample",
        "sampler_sample",
        "predict_noise",
        "calc_cond_batch",
        "apply_model",
    ):
        taking_turns.add_wrapper_with_key(kind, "turns", hand_over)
    middle = UNET.mid_block.register_forward_pre_hook(lambda *_: turns.hand_over())
    results: list[Any] = [None, None]

    def thread(index: int) -> None:
        turns.begin()
        try:
            results[index] = run(taking_turns, **runs[index])
        except Exception as error:
            results[index] = error
        finally:
            turns.end()

    threads = [threading.Thread(target=thread, args=(index,)) for index in (0, 1)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(2 * PATIENCE)
    middle.remove()
    return results, turns


def t2i(folder: Path) -> Control:
    file = save_adapter(folder / "t2i", adapter("full_adapter"), "diffusers")
    return Control(load_control_net(file), hint(3), "t2i")


SIZES: list[dict[str, Any]] = [
    {"size": (8, 16), "areas": (LEFT, RIGHT)},
    {"size": (8, 24), "areas": ((8, 12, 0, 8),), "seed": 3},
]
LENGTHS: list[dict[str, Any]] = [{"steps": 3}, {"steps": 5, "seed": 3}]
SAMPLERS: list[dict[str, Any]] = [
    {"sampler": "heun", "batch": 2},
    {"sampler": "euler_ancestral", "seed": 9},
]
CASES: dict[str, tuple[Callable[[Path], ControlStack], list[dict[str, Any]]]] = {
    "the same": (lambda _: (control(),), [{}, {}]),
    "areas, hints cropped": (
        lambda _: (Control(net(), hint(1), "net 1", area_hint="crop"),),
        SIZES,
    ),
    "areas, hints whole": (lambda _: (control(),), SIZES),
    "exact steps": (
        lambda _: (control(span=StepSpan(1, 2)), control(2, span=StepSpan(2, 9))),
        LENGTHS,
    ),
    "masks": (lambda _: (control(mask=torch.rand(1, 64, 64)), control(2, mode="cfg_rw")), SAMPLERS),
    "adapter": (lambda folder: (t2i(folder),), LENGTHS),
}


@pytest.mark.parametrize("case", CASES)
def test_two_runs_of_one_model_give_what_each_gives_alone(case: str, tmp_path: Path) -> None:
    stack, runs = CASES[case]
    model = patch(tiny_model(UNET), stack(tmp_path))
    alone = [run(model, **one) for one in runs]
    together, turns = both_at_once(model, runs)
    assert turns.handed_over > 20
    for mine, expected in zip(together, alone, strict=True):
        assert isinstance(mine, Tensor), mine
        assert torch.equal(mine, expected)


def test_a_model_patched_twice_keeps_both_patches_runs_apart() -> None:
    model = patch(patch(tiny_model(UNET), (control(span=StepSpan(0, 1)),)), (control(2),))
    alone = [run(model, **one) for one in LENGTHS]
    together, _ = both_at_once(model, LENGTHS)
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))


def test_an_error_in_one_run_is_none_of_the_others() -> None:
    model = patch(tiny_model(UNET), (control(span=StepSpan(0, 2)),))

    def fail(executor: Callable[..., Any], x: Tensor, t: Tensor, *args: Any) -> Any:
        if x.shape[-1] == 16 and float(t[0]) < 5:
            raise RuntimeError("the machine caught fire")
        return executor(x, t, *args)

    model.add_wrapper_with_key("apply_model", "fire", fail)
    alone = run(model, seed=2)
    (mine, error), _ = both_at_once(model, [{"seed": 2}, {"size": (8, 16), "steps": 5}])
    assert isinstance(error, RuntimeError)
    assert torch.equal(mine, alone)


def test_each_call_is_of_the_run_whose_options_it_has() -> None:
    """A recording double of a host: run 2 begins, and run 1's next call is still run 1's."""
    patched = patch(tiny_model(UNET), (control(span=StepSpan(0, 1)),))
    options: list[Mapping[str, Any]] = []

    def sampler(guider: Any, sigmas: Any, extra_args: Mapping[str, Any]) -> None:
        options.append(extra_args["model_options"]["transformer_options"])
        if len(options) == 1:
            wrapped(sampler, guider, sigmas, {"model_options": {"transformer_options": {}}})
            assert options[0][KEY] != options[1][KEY]
            kept = copy.deepcopy(options[0])  # as packs do with options
            assert kept[KEY] == options[0][KEY]

    (wrapped,) = patched.get_wrappers("sampler_sample", KEY)
    guider = SimpleNamespace(inner_model=patched.model)
    wrapped(sampler, guider, torch.ones(3), {"model_options": {"transformer_options": {"a": 1}}})
    assert [one.get("a") for one in options] == [1, None]
