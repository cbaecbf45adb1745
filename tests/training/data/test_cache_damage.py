"""Files of a cache that others have changed are made again, or named before they are learnt."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save

from controlstack.ground.errors import UserError
from controlstack.training.batch import Batch, Pick
from controlstack.training.data.training_data import TrainingData, training_data
from controlstack.training.settings import DataSettings
from tests.training_files import FormulaEncoders, fill50k, picture

PICKS = [[Pick(row, 10 + row, drop=False)] for row in range(3)]


def made(folder: Path, encoders: FormulaEncoders | None = None, **chosen: object) -> TrainingData:
    settings = DataSettings(
        path=str(folder / "data"),
        resolution="48",
        condition="canny",
        hints="made",
        cache=str(folder / "cache"),
        **chosen,
    )
    return training_data(settings, encoders or FormulaEncoders())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill50k(tmp_path / "data", 3)
    made(tmp_path)
    return tmp_path


def one_of(folder: Path, shelf: str) -> Path:
    """A file of the kept latents, words or hints; of words, one that is not the empty prompt's."""
    files = sorted((folder / "cache").glob(f"{shelf}-*/*/*"))
    if shelf != "words":
        return files[0]
    words = {path: load_file(path)["words"][:, 0].any() for path in files}
    return next(path for path, some in words.items() if some)


def tensors(**named: torch.Tensor) -> bytes:
    return save(named)


def hints(hint: np.ndarray, name: str = "hint") -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **{name: hint})
    return stream.getvalue()


def pickled() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, archive.open("hint.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "|O", "fortran_order": False, "shape": (48, 48, 3)}
        )
        member.write(pickle.dumps([1]))
    return stream.getvalue()


def beginning(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


LATENT, WORDS = torch.zeros(4, 6, 6), torch.zeros(77, 2)
DAMAGES: dict[str, list[bytes | Callable[[bytes], bytes]]] = {
    "latents": [
        b"", b"no tensors at all", beginning, lambda whole: whole + b"more",
        tensors(mean=torch.zeros(4, 5, 6)), tensors(mean=torch.zeros(3, 6, 6)),
        tensors(mean=LATENT.int()), tensors(latent=LATENT), tensors(mean=LATENT, other=LATENT + 1),
        tensors(mean=LATENT, deviation=torch.zeros(4, 6, 7)), (1 << 40).to_bytes(8, "little"),
    ],
    "words": [
        b"", beginning, tensors(words=torch.zeros(76, 2)), tensors(words=torch.zeros(77, 3)),
        tensors(words=WORDS[None]), tensors(mean=WORDS), tensors(words=WORDS.long()),
    ],
    "hints": [
        b"", b"PK\3\4", beginning, hints(np.zeros((47, 48, 3), np.uint8)),
        hints(np.zeros((48, 48), np.uint8)), hints(np.zeros((48, 48, 3), np.int64)),
        hints(np.zeros((48, 48, 3), np.uint8), "other"), pickled(),
    ],
}  # fmt: skip


@pytest.mark.parametrize("shelf", DAMAGES)
def test_what_is_not_whole_is_made_again(
    folder: Path, shelf: str, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = list(made(folder).load(PICKS))
    path = one_of(folder, shelf)
    whole = path.read_bytes()
    for damage in DAMAGES[shelf]:
        path.write_bytes(damage(whole) if callable(damage) else damage)
        caplog.clear()
        encoders = FormulaEncoders()
        data = made(folder, encoders)
        said = [record.getMessage() for record in caplog.records]
        assert [line.startswith("1 of the cached files") for line in said] == [True], damage
        assert str(path) in said[0]
        assert (encoders.pictures_seen, len(encoders.prompts_seen)) in ((1, 0), (0, 1))
        assert same(list(data.load(PICKS)), wanted)
        assert path.read_bytes() == whole
        assert said[0].isprintable()


def same(some: list[Batch], others: list[Batch]) -> bool:
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for one, other in zip(some, others, strict=True)
        for name in ("latents", "words", "hints")
    )


LATER: dict[str, list[bytes | Callable[[bytes], bytes]]] = {
    "latents": [*DAMAGES["latents"], tensors(mean=LATENT.log())],
    "words": [*DAMAGES["words"], tensors(words=WORDS * torch.nan)],
    "hints": [
        *DAMAGES["hints"],
        hints(np.full((48, 48, 3), np.nan, np.float32)),
        lambda whole: whole[:150] + bytes([whole[150] ^ 1]) + whole[151:],  # its checksum tells
    ],
}


@pytest.mark.parametrize("shelf", LATER)
def test_what_breaks_later_is_named(
    folder: Path, shelf: str, caplog: pytest.LogCaptureFixture
) -> None:
    data, skipping = made(folder), made(folder, bad_rows="skip")
    path = one_of(folder, shelf)
    whole = path.read_bytes()
    for damage in LATER[shelf]:
        path.write_bytes(damage(whole) if callable(damage) else damage)
        with pytest.raises(UserError, match="delete it, and it is made again") as raised:
            list(data.load(PICKS))
        assert str(raised.value).startswith("prompt.json, line ")
        assert str(path) in str(raised.value)
        assert len(list(skipping.load(PICKS))) == 3
    assert "is skipped: The cached file" in caplog.text


def test_numbers_that_are_not_finite_are_not_kept(tmp_path: Path) -> None:
    fill50k(tmp_path / "data", 3)

    class Overflowing(FormulaEncoders):
        def moments(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mean, deviation = super().moments(pictures)
            return mean / 0, deviation

    with pytest.raises(UserError, match=r"numbers that are not finite \(mean\)"):
        made(tmp_path, Overflowing())


def test_hints_of_another_size_are_not_read_beside_kept_pictures(tmp_path: Path) -> None:
    """A hint file that was replaced after the check, by one of another size."""
    folder = fill50k(tmp_path / "data", 3)
    cache = str(tmp_path / "cache")
    data = training_data(
        DataSettings(path=str(folder), resolution="48", cache=cache), FormulaEncoders()
    )
    Image.fromarray(picture(0, 48, 64)).save(folder / "source" / "1.png")
    with pytest.raises(UserError, match=r"is 48 x 64 and the picture .* 48 x 48 pixels"):
        list(data.load(PICKS))


@pytest.mark.parametrize("shelf", DAMAGES)
def test_a_pipe_in_a_caches_place(folder: Path, shelf: str) -> None:
    data = made(folder)
    path = one_of(folder, shelf)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match="is no regular file, but a pipe"):
        list(data.load(PICKS))
    made(folder)
    assert path.is_file()
