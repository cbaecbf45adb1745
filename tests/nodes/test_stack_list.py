"""The lists of other packs as stacks of ours, and back."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.hosts import host
from controlstack.model_patch.control import Control
from controlstack.model_patch.factors import Sides, StepSpan
from controlstack.nodes.drawn import require_whole
from controlstack.nodes.stack import ControlStackAdd, ControlStackApplyConditioning
from controlstack.nodes.stack_list import list_of, list_or_why, stack_of

NET = SimpleNamespace()
PICTURE = torch.rand(2, 8, 16, 3)
ENTRY = (NET, PICTURE, 0.5, 0.1, 0.9)


class Files:
    """A host whose nets are their names."""

    def load_control_net(self, name: str) -> Any:
        return SimpleNamespace(name=name)


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "current", Files)


def test_a_list_is_a_stack_and_back() -> None:
    first, second = stack_of([ENTRY, list(ENTRY)])
    assert (first.net, first.strength, first.span.start, first.span.end) == (NET, 0.5, 0.1, 0.9)
    assert torch.equal(first.hint, PICTURE.movedim(-1, 1))
    assert [first.name, second.name] == [f"control {n} (SimpleNamespace)" for n in (1, 2)]
    assert (first.mode, first.also, first.union_types, first.mask) == ("balanced", (), (), None)
    given = list_of((first, replace(second, enabled=False)))
    [(net, picture, *numbers)] = given
    assert (net, numbers) == (NET, [0.5, 0.1, 0.9])
    assert torch.equal(picture, PICTURE)


def test_a_stack_stays_what_it_is() -> None:
    stack = stack_of([ENTRY])
    assert stack_of(stack)[0] is stack[0]
    assert stack_of(None) == stack_of([]) == ()


def test_files_by_name() -> None:
    easy = ("pose", 0.7, 0.2, 0.8, 1.0, PICTURE, True)
    [comfyroll, easy_use] = stack_of([("depth", *ENTRY[1:]), easy])
    assert (comfyroll.net.name, comfyroll.file, comfyroll.name) == (
        *("depth", "depth"),
        "control 1 (depth)",
    )
    assert (easy_use.net.name, easy_use.strength, easy_use.span.start, easy_use.span.end) == (
        *("pose", 0.7),
        *(0.2, 0.8),
    )


def test_entries_that_are_none_are_passed_over() -> None:
    [control] = stack_of([None, ("None", *ENTRY[1:]), ["None"], ENTRY])
    assert control.name == "control 1 (SimpleNamespace)"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (5, "entry 2 of the stack: it is 5; it has to be (control_net, image, strength"),
        (PICTURE, "entry 2 of the stack: it is a tensor of shape (2, 8, 16, 3); it has to be (c"),
        (ENTRY[:4], "entry 2 of the stack: it has 4 values; it has to have 5: (control_net"),
        ((NET, "x", 1, 0, 1), "its image is 'x'; it has to be a picture (IMAGE)"),
        ((NET, PICTURE[0], 1, 0, 1), "its image is a tensor of shape (8, 16, 3)"),
        ((NET, PICTURE, -1.0, 0, 1), "its strength is -1.0; it has to be from 0 to 10"),
        ((NET, PICTURE, "1", 0, 1), "its strength is '1'; it has to be from 0 to 10"),
        ((NET, PICTURE, 1, 0, 1.5), "its end_percent is 1.5; it has to be from 0 to 1"),
        ((None, PICTURE, 1, 0, 1), "there is no ControlNet on the wire"),
        (("a", 1, 0, 1, 0.8, PICTURE, True), "its scale_soft_weight is 0.8"),
    ],
)
def test_wrong_entries(entry: Any, says: str) -> None:
    with pytest.raises(UserError) as raised:
        stack_of([ENTRY, entry])
    assert raised.value.sentence.startswith("entry 2 of the stack: ")
    assert says in raised.value.sentence


def test_what_is_no_list() -> None:
    with pytest.raises(UserError, match=r"the stack is of the type SimpleNamespace; it has to be"):
        stack_of(NET)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"mask": torch.ones(1, 8, 8)}, "mask"),
        ({"mode": "prompt is more important"}, "mode prompt is more important"),
        ({"also": (Sides(1.0, 0.5),)}, Sides(1.0, 0.5).words),
        ({"union_types": ("depth",)}, "union_type depth"),
        ({"frames": "hold"}, "frames hold"),
        ({"span": StepSpan(0, 3)}, StepSpan(0, 3).words),
        ({"net": SimpleNamespace(latent_format=1), "vae": 1}, "a VAE"),
    ],
)
def test_what_the_list_has_no_room_for(changes: dict[str, Any], what: str) -> None:
    control = Control(NET, PICTURE.movedim(-1, 1), name="control 1 (pose)")
    assert len(list_of((replace(control, vae=1),))) == 1
    with pytest.raises(UserError) as raised:
        list_of((replace(control, **changes),))
    assert f"control 1 (pose) has {what}, and a CONTROL_NET_STACK holds" in raised.value.sentence


def test_nodes_take_it() -> None:
    node = ControlStackAdd()
    stack: Any = [ENTRY]
    (made,) = node.add(NET, PICTURE, 1.0, 0.0, 1.0, stack=stack)
    assert [control.strength for control in made] == [0.5, 1.0]
    assert ControlStackAdd.INPUT_TYPES()["optional"]["stack"][0] == (
        "CONTROL_STACK,CONTROL_NET_STACK"
    )
    prompt = [[torch.zeros(1, 77, 8), {}]]
    usable = SimpleNamespace(copy=lambda: None, set_cond_hint=None)
    silent: Any = [(usable, PICTURE, 0.0, 0.0, 1.0)]
    assert ControlStackApplyConditioning().apply(prompt, stack=silent)[0] == prompt


def test_a_muted_line_is_seen_through_such_a_socket() -> None:
    kind = "CONTROL_STACK,CONTROL_NET_STACK"
    workflow = {
        "nodes": [
            {"id": 1, "type": "ControlStackAdd", "mode": 0, "inputs": []},
            {"id": 2, "type": "Add", "mode": 2, "inputs": [{"type": kind, "link": 1}]},
            {"id": 3, "type": "Apply", "mode": 0, "inputs": [{"type": kind, "link": 2}]},
        ],
        "links": [[1, 1, 0, 2, 0, kind], [2, 2, 0, 3, 0, kind]],
    }
    with pytest.raises(UserError, match="node 2"):
        require_whole({"workflow": workflow}, "3", "CONTROL_STACK")


def test_a_list_that_is_read_too_late_says_why_it_is_none() -> None:
    """ComfyUI keeps it from a run in which nobody read it."""
    [control] = stack_of([ENTRY])
    assert len(list_or_why((control,))[0]) == len(ENTRY)
    [entry] = late = list_or_why((replace(control, mask=torch.ones(1, 8, 8)),))
    for read in (tuple, lambda one: one[0], lambda one: stack_of(late)):
        with pytest.raises(UserError, match="has mask, and a CONTROL_NET_STACK holds"):
            read(entry)
