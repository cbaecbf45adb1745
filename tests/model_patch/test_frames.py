"""A strength a picture: batches, context windows, films."""

from __future__ import annotations

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.model_patch.call import Call
from controlstack.model_patch.frames import FrameStrengths
from controlstack.model_patch.patch import patch
from controlstack.model_patch.residuals import Place, Residuals
from tests.model_patch.recording import Numbers, added, numbered, numbers_of
from tests.model_patch.stacks import UNET, control, sample
from tests.tiny import tiny_model

RAMP = FrameStrengths(((0.0, 0.0), (4.0, 1.0)), "linear")


def test_each_picture_has_its_own_on_both_sides_and_a_net_is_not_run_for_those_at_0() -> None:
    net = Numbers()
    item = numbered(8.0, net=net, also=(RAMP,))
    assert numbers_of(added((item,), 6, cond_or_uncond=[0, 1])) == [0.0, 2.0, 4.0] * 2
    assert net.runs == [4]


def test_in_a_context_window_a_frame_keeps_its_own() -> None:
    class Window:
        index_list = (3, 4)
        dim = 0

    made = added((numbered(8.0, also=(RAMP,)),), 2, context_window=Window())
    assert numbers_of(made) == [6.0, 8.0]


def film(frames: int) -> Call:
    return Call.of(torch.zeros(1, 4, frames, 8, 8), torch.ones(1), {}, {})


def test_films_have_a_number_a_latent_frame() -> None:
    call = film(5)
    assert RAMP.of_row(call.rows[0]) == 1.0
    for residual in (torch.ones(1, 2, 5, 4, 4), torch.ones(1, 5 * 4 * 4, 2)):
        place = Residuals(output=(residual,)).places()[0]
        weights = RAMP.over(call, place, residual)
        assert weights is not None
        made = (residual * weights).movedim(1, -1).reshape(5, -1) if residual.ndim == 5 else (
            residual * weights
        ).reshape(5, -1)  # fmt: skip
        assert made.unique(dim=1).flatten().tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_net_of_fewer_frames_than_the_latent_is_refused() -> None:
    residual = torch.ones(1, 2, 3, 4, 4)
    place: Place = Residuals(output=(residual,)).places()[0]
    with pytest.raises(UserError, match="3 frames of a latent of 5"):
        RAMP.over(film(5), place, residual)


def test_what_must_change_nothing_and_what_must_equal_something_else() -> None:
    plain = sample(patch(tiny_model(UNET), (control(),)), batch=2)
    ones = FrameStrengths(((0.0, 1.0), (1.0, 1.0)), listed=True)
    assert torch.equal(sample(patch(tiny_model(UNET), (control(also=(ones,)),)), batch=2), plain)
    second = FrameStrengths(((0.0, 0.0), (1.0, 1.0)), listed=True)
    made = sample(patch(tiny_model(UNET), (control(also=(second,)),)), batch=2)
    off = sample(tiny_model(UNET), batch=2)
    assert torch.allclose(made[0], off[0], atol=2e-3)
    assert torch.allclose(made[1], plain[1], atol=2e-3)
    assert not torch.allclose(made[0], plain[0], atol=1.0)


def test_a_list_is_for_as_many_pictures_and_keyframes_hold() -> None:
    listed = FrameStrengths(((0.0, 1.0), (1.0, 0.5)), listed=True)
    stack = (control(also=(listed,)),)
    with pytest.raises(UserError, match="net 1: there are 2 strengths for 3 pictures"):
        sample(patch(tiny_model(UNET), stack), batch=3)
    assert FrameStrengths(((0.0, 1.0), (1.0, 0.5))).of_row(film(1).rows[0]) == 1.0


@pytest.mark.parametrize("points", [(), ((1.0, 1.0), (0.0, 1.0)), ((0.0, float("nan")),)])
def test_bad_keyframes_are_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(UserError, match=r"picture|points"):
        FrameStrengths(points)
