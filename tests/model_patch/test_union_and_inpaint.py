"""What union and inpainting nets are told beside their hint."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.model_patch.union import types_of
from tests.model_patch.recording import Numbers, added, hints, numbered


class Noted(Numbers):
    """Remembers its copies."""

    made: list[Numbers]

    def copy(self) -> Numbers:
        copy = super().copy()
        self.made.append(copy)
        return copy


def noted(**attributes: Any) -> Any:
    net = Noted()
    net.made = []
    net.__dict__.update(attributes)
    return net


SDXL = SimpleNamespace(num_control_type=6)
FLUX = SimpleNamespace(controlnet_mode_embedder=SimpleNamespace(num_embeddings=10))


@pytest.mark.parametrize(
    ("network", "chosen", "numbers"),
    [
        (SDXL, ("depth",), [1]),
        (SDXL, ("canny/lineart/anime_lineart/mlsd",), [3]),
        (SDXL, ("Canny", "lineart"), [3]),
        (SDXL, ("pose",), [0]),
        (SDXL, ("5",), [5]),
        (FLUX, ("low quality",), [6]),
        (FLUX, ("openpose",), [4]),
        (FLUX, ("9",), [9]),
    ],
)
def test_types_go_to_the_nets_copy(network: Any, chosen: tuple[str, ...], numbers: Any) -> None:
    net = noted(control_model=network)
    added((numbered(1.0, net=net, union_types=chosen),), 1)
    assert [copy.arguments for copy in net.made] == [{"control_type": numbers}]
    assert net.arguments == {}


def test_without_a_choice_the_net_stays_as_it_comes() -> None:
    net = noted(control_model=SDXL)
    added((numbered(1.0, net=net),), 1)
    assert [copy.arguments for copy in net.made] == [{}]


def test_one_net_serves_lines_of_different_types() -> None:
    net = noted(control_model=SDXL)
    added(tuple(numbered(1.0, net=net, union_types=(name,)) for name in ("depth", "normal")), 1)
    assert [copy.arguments["control_type"] for copy in net.made] == [[1], [4]]


def test_a_type_that_the_file_lacks_is_refused_with_those_it_has() -> None:
    net = noted(control_model=SDXL)
    assert len(types_of(net)) == 6
    with pytest.raises(UserError, match=r"pose: .*no union type 'tile'.*openpose.*segment"):
        added((numbered(1.0, net=net, name="pose", union_types=("tile",)),), 1)
    with pytest.raises(UserError, match=r"pose is given 2 union types, depth.*normal.*one "):
        added((numbered(1.0, net=net, name="pose", union_types=("depth", "normal")),), 1)
    with pytest.raises(UserError, match=r"pose.*no union ControlNet.*depth.*auto"):
        added((numbered(1.0, name="pose", union_types=("depth",)),), 1)


def test_an_inpainting_net_sees_black_and_a_mask_where_the_picture_is_drawn_anew() -> None:
    net = noted(concat_mask=True)
    mask = torch.zeros(1, 64, 64)
    mask[..., 32:] = 1.0
    added((numbered(1.0, net=net, inpaint_mask=mask),), 1)
    (copy,) = net.made
    assert torch.equal(copy.hint[..., :32], hints(1.0)[..., :32])
    assert not copy.hint[..., 32:].any()
    (stays,) = copy.extra
    assert torch.equal(stays, 1.0 - mask[:, None])


def test_frames_keep_their_own_inpaint_masks_in_windows() -> None:
    net = noted(concat_mask=True)
    masks = torch.arange(4.0)[:, None, None].expand(4, 64, 64) / 4
    window = SimpleNamespace(index_list=[2, 3], dim=0)
    added((numbered(1.0, net=net, inpaint_mask=masks),), 2, context_window=window)
    (copy,) = net.made
    assert copy.extra[0][:, 0, 0, 0].tolist() == [0.5, 0.25]
    assert len(copy.hint) == 2


def test_unlike_numbers_of_hints_and_inpaint_masks_go_by_the_same_rule() -> None:
    net = noted(concat_mask=True)
    masks = torch.zeros(3, 64, 64)
    added((numbered(1.0, 2.0, net=net, inpaint_mask=masks, frames="hold"),), 3)
    (copy,) = net.made
    assert copy.hint.mean(dim=(1, 2, 3)).tolist() == [1.0, 2.0, 2.0]
