"""The joint reader: shapes, reading a peak, saving and refusing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from controlstack.evaluation.joint_reader import (
    JointReader,
    load_reader,
    read_joints,
    save_reader,
)
from controlstack.ground.errors import UserError


class _Fixed(nn.Module):
    """Heatmaps with a blob: joint i over cell (i, 2 i) and, half as strong, its right neighbour."""

    def forward(self, rgb: Tensor) -> Tensor:
        heat = torch.full((1, 18, rgb.shape[2] // 4, rgb.shape[3] // 4), -50.0)
        for joint in range(18):
            column = min(2 * joint, 30)
            heat[0, joint, joint, column] = 0.0
            heat[0, joint, joint, column + 1] = float(np.log(0.5))
        return heat


def test_a_joint_is_the_weighted_middle_of_its_peak() -> None:
    joints = read_joints(_Fixed(), np.zeros((128, 128, 3), np.uint8))
    assert joints.shape == (18, 2)
    assert joints[3].tolist() == pytest.approx([(6 + 1 / 3 + 0.5) * 4, 3.5 * 4], abs=1e-3)


def test_a_saved_reader_reads_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reader = JointReader(8, (1, 2)).half().float().eval()
    save_reader(reader, tmp_path / "reader.safetensors")
    again = load_reader(tmp_path / "reader.safetensors")
    rgb = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    assert np.array_equal(read_joints(reader, rgb), read_joints(again, rgb))


def test_a_missing_or_wrong_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no joint reader at"):
        load_reader(tmp_path / "reader.safetensors")
    (tmp_path / "reader.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match="is not a joint reader"):
        load_reader(tmp_path / "reader.safetensors")
