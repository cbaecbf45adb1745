import pytest
import torch

from controlstack.headless.batch_rows import of_length, spread


@pytest.mark.parametrize(
    ("length", "rows"),
    [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (4, [0, 1, 2, 0]), (7, [0, 1, 2, 0, 1, 2, 0])],
)
def test_a_batch_begins_anew(length: int, rows: list[int]) -> None:
    batch = torch.arange(3.0).reshape(3, 1, 1)
    assert of_length(batch, length).flatten().tolist() == rows


@pytest.mark.parametrize(
    ("count", "length", "rows"),
    [
        (1, 3, [0, 0, 0]),
        (2, 5, [0, 0, 1, 1, 1]),
        (3, 7, [0, 0, 1, 1, 1, 2, 2]),
        (3, 3, [0, 1, 2]),
        (5, 3, [0, 2, 4]),
        (5, 2, [0, 4]),
        (5, 1, [0]),
    ],
)
def test_a_batch_is_spread(count: int, length: int, rows: list[int]) -> None:
    assert spread(torch.arange(float(count))[:, None], length).flatten().tolist() == rows
