"""A batch depends on its picks alone, whoever reads it, with and without a cache."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from controlstack.ground.errors import UserError
from controlstack.preprocessors import names
from controlstack.preprocessors.canny import canny
from controlstack.preprocessors.making import Loaded
from controlstack.preprocessors.mediapipe.face_mesh import PUPILS
from controlstack.preprocessors.ready import HintMaker
from controlstack.preprocessors.registry import PREPROCESSORS
from controlstack.training.batch import Batch, Pick
from controlstack.training.data import cache_filling
from controlstack.training.data.condition import Condition
from controlstack.training.data.training_data import TrainingData, training_data
from controlstack.training.settings import DataSettings
from tests.training_files import FormulaEncoders, embedding, fill50k, latent_mean, picture, save

PICKS = [
    [Pick(2, 11, False), Pick(0, 12, True)],
    [Pick(1, 13, False), Pick(2, 14, False)],
    [Pick(3, 15, True), Pick(3, 16, False)],
]


def make(path: Path, encoders: FormulaEncoders | None = None, **chosen: object) -> TrainingData:
    settings = DataSettings(path=str(path), **{"resolution": "48", **chosen})
    return training_data(settings, encoders or FormulaEncoders())


def equal(one: Sequence[Batch], other: Sequence[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(getattr(a, name), getattr(b, name))
        for a, b in zip(one, other, strict=True)
        for name in ("latents", "words", "hints")
    )


@pytest.mark.parametrize("cached", [False, True])
def test_a_batch_is_what_its_picks_say(tmp_path: Path, cached: bool) -> None:
    encoders = FormulaEncoders(deviation=0.0)
    data = make(fill50k(tmp_path / "data"), encoders, cache=str(tmp_path / "c") if cached else "")
    assert len(data) == 4
    batches = list(data.load(PICKS))
    assert len(batches) == 3
    first = batches[0]
    wanted = np.stack([latent_mean(picture(2)), latent_mean(picture(0))])
    assert np.allclose(first.latents.numpy(), wanted, atol=1e-5)
    assert torch.equal(first.words, torch.stack([embedding("prompt 2"), embedding("")]))
    hints = np.stack([picture(102), picture(100)]).transpose(0, 3, 1, 2) / 255
    assert first.hints.dtype == torch.float32
    assert np.allclose(first.hints.numpy(), hints, atol=1e-7)


def test_a_latent_is_drawn_from_its_moments_by_the_seed(tmp_path: Path) -> None:
    data = make(fill50k(tmp_path), FormulaEncoders(deviation=0.25))
    picks = [[Pick(1, seed, False)] for seed in range(40)]
    drawn = torch.cat([batch.latents for batch in data.load(picks)])
    spread = (drawn - torch.from_numpy(latent_mean(picture(1)))).numpy()
    assert abs(spread.mean()) < 0.02
    assert abs(spread.std() - 0.25) < 0.02
    assert not torch.equal(drawn[0], drawn[1])
    # Whoever draws noise with the same seed gets other noise.
    noise = torch.randn(drawn[0].shape, generator=torch.Generator().manual_seed(0))
    correlation = np.corrcoef(noise.flatten().numpy(), spread[0].flatten())[0, 1]
    assert abs(correlation) < 0.3


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(tmp_path: Path, cached: bool, workers: int) -> None:
    chosen = {"flip": 0.5, "cache": str(tmp_path / "c") if cached else ""}
    data = make(fill50k(tmp_path / "data"), **chosen)
    assert equal(list(data.load(PICKS)), list(data.load(PICKS, workers)))


@pytest.mark.parametrize("condition", ["", "canny"])
def test_a_cache_changes_nothing(tmp_path: Path, condition: str) -> None:
    folder = fill50k(tmp_path / "data")
    chosen = {"flip": 0.5, "condition": condition, "hints": "made" if condition else "auto"}
    plain = list(make(folder, **chosen).load(PICKS))
    assert equal(plain, list(make(folder, **chosen, cache=str(tmp_path / "c")).load(PICKS)))


def test_the_place_in_a_batch_does_not_matter(tmp_path: Path) -> None:
    data = make(fill50k(tmp_path), flip=0.5)
    one, other = Pick(2, 5, False), Pick(3, 6, True)
    (pair,) = data.load([[one, other]])
    (alone,) = data.load([[other]])
    assert torch.allclose(pair.latents[1], alone.latents[0], atol=1e-6)
    assert torch.equal(pair.hints[1], alone.hints[0])
    assert torch.equal(pair.words[1], alone.words[0])


def test_a_cached_run_encodes_and_decodes_nothing(tmp_path: Path) -> None:
    folder = fill50k(tmp_path / "data")
    first, second = FormulaEncoders(), FormulaEncoders()
    make(folder, first, cache=str(tmp_path / "c"), flip=0.5)
    assert first.pictures_seen == 8  # both ways round
    assert sorted(first.prompts_seen) == ["", *(f"prompt {i}" for i in range(4))]
    data = make(folder, second, cache=str(tmp_path / "c"), flip=0.5)
    for i in range(4):  # what needs the pictures' bytes would notice
        file = folder / "target" / f"{i}.png"
        file.write_bytes(file.read_bytes()[:60])
    assert len(list(data.load(PICKS))) == 3
    assert (second.pictures_seen, second.prompts_seen) == (0, [])


def test_equal_prompts_are_encoded_once(tmp_path: Path) -> None:
    folder = fill50k(tmp_path / "data")
    file = folder / "prompt.json"
    text = file.read_text()
    for i in range(4):
        text = text.replace(f"prompt {i}", "one prompt")
    file.write_text(text)
    encoders = FormulaEncoders()
    make(folder, encoders, cache=str(tmp_path / "c"))
    assert sorted(encoders.prompts_seen) == ["", "one prompt"]


@pytest.mark.parametrize("change", ["picture", "resolution", "encoders", "size of the set"])
def test_only_what_changed_is_encoded_again(tmp_path: Path, change: str) -> None:
    folder = fill50k(tmp_path / "data")
    cache = str(tmp_path / "c")
    make(folder, cache=cache, max_rows=2 if change == "size of the set" else 0)
    again = FormulaEncoders("others" if change == "encoders" else "formula")
    if change == "picture":
        save(folder / "target" / "1.png", picture(55))
        data = make(folder, again, cache=cache)
        (batch,) = data.load([[Pick(1, 0, False)]])
        assert np.abs(batch.latents[0].numpy() - latent_mean(picture(55))).max() < 1.5
    else:
        make(folder, again, cache=cache, resolution="40" if change == "resolution" else "48")
    wanted = {"picture": 1, "resolution": 4, "encoders": 4, "size of the set": 2}
    assert again.pictures_seen == wanted[change]


def test_what_was_cached_with_the_colours_under_alpha_is_encoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache = fill50k(tmp_path / "data"), str(tmp_path / "c")
    clear = Image.fromarray(picture(1))
    clear.putalpha(0)
    clear.save(folder / "target" / "1.png")
    with monkeypatch.context() as before:
        before.setattr(cache_filling, "_laid", lambda row: ())
        make(folder, cache=cache)
    again = FormulaEncoders()
    data = make(folder, again, cache=cache)
    assert again.pictures_seen == 1
    (batch,) = data.load([[Pick(1, 0, False)]])
    assert np.abs(batch.latents[0].numpy() - latent_mean(np.full_like(picture(1), 255))).max() < 1.5


def test_a_cache_that_was_stopped_goes_on(tmp_path: Path) -> None:
    folder = fill50k(tmp_path / "data", 10)

    class Stopped(FormulaEncoders):
        def moments(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            if self.pictures_seen:
                raise KeyboardInterrupt
            return super().moments(pictures)

    first = Stopped()
    with pytest.raises(KeyboardInterrupt):
        make(folder, first, cache=str(tmp_path / "c"))
    second = FormulaEncoders()
    make(folder, second, cache=str(tmp_path / "c"))
    assert first.pictures_seen > 0
    assert first.pictures_seen + second.pictures_seen == 10
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(("process", "first_row"), [("0", 0), ("1", 5)])
def test_each_process_begins_with_its_own_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, process: str, first_row: int
) -> None:
    monkeypatch.setenv("RANK", process)
    monkeypatch.setenv("WORLD_SIZE", "2")
    firsts = []

    class Noted(FormulaEncoders):
        def moments(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mean, deviation = super().moments(pictures)
            firsts.append(mean[0].numpy())
            return mean, deviation

    encoders = Noted()
    make(fill50k(tmp_path / "data", 10), encoders, cache=str(tmp_path / "c"))
    assert np.allclose(firsts[0], latent_mean(picture(first_row)), atol=1e-5)
    assert encoders.pictures_seen == 10  # and does what no other process did


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill50k(tmp_path / "data")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
        make(folder, cache=str(tmp_path / "c"))
    assert not [path for path in (tmp_path / "c").rglob("*") if path.is_file()]


def test_random_crops_cannot_be_cached(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="crop is random; set crop to center"):
        make(fill50k(tmp_path / "data"), cache=str(tmp_path / "c"), crop="random")


class Inverse:
    """A network that makes a picture's negative, and counts."""

    networks: tuple[torch.nn.Module, ...] = ()

    def __init__(self) -> None:
        self.calls = 0

    def __call__(
        self, picture: NDArray[np.uint8], device: torch.device, **settings: object
    ) -> NDArray[np.uint8]:
        self.calls += 1
        return (255 - picture).astype(np.uint8)


def test_mirrored_faces_change_sides_by_another_packs_name_too(tmp_path: Path) -> None:
    folder = fill50k(tmp_path)
    for number in range(4):
        save(folder / "source" / f"{number}.png", np.full((48, 48, 3), PUPILS[0], np.uint8))
    called = ("mediapipe_face", "MediaPipe-FaceMeshPreprocessor")
    ours, theirs = (list(make(folder, flip=1.0, condition=name).load(PICKS)) for name in called)
    seen = ours[0].hints[0].numpy().transpose(1, 2, 0) * 255
    assert np.allclose(seen, PUPILS[1], atol=1e-3)
    assert equal(ours, theirs)


@pytest.mark.parametrize("cached", [False, True])
def test_a_network_makes_hints_and_a_cache_keeps_them(
    tmp_path: Path, cached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill50k(tmp_path / "data")
    settings = DataSettings(
        path=str(folder),
        resolution="48",
        condition="hed",
        hints="made",
        flip=1.0,
        cache=str(tmp_path / "c") if cached else "",
    )
    network = Inverse()
    maker = HintMaker(Loaded(network, torch.device("cpu")), "inverse")
    data = training_data(settings, FormulaEncoders(), maker)
    calls = network.calls
    batches = list(data.load(PICKS, workers=1))
    seen = 255 - picture(2)[:, ::-1].astype(int)
    assert np.allclose(batches[0].hints[0].numpy().transpose(1, 2, 0) * 255, seen, atol=1e-4)
    assert (calls, network.calls) == ((4, 4) if cached else (0, 6))
    if cached:  # another network's hints are others, and so are those made in another way
        training_data(settings, FormulaEncoders(), HintMaker(maker.loaded, "another"))
        assert network.calls == 8
        anew = {**PREPROCESSORS, "hed": replace(PREPROCESSORS["hed"], way=1)}
        monkeypatch.setattr(names, "PREPROCESSORS", anew)
        training_data(settings, FormulaEncoders(), maker)
        assert network.calls == 12
    with pytest.raises(UserError, match="hed needs a network to make hints, and none is loaded"):
        training_data(settings, FormulaEncoders())


def test_exact_hints_are_made_of_what_is_seen(tmp_path: Path) -> None:
    data = make(fill50k(tmp_path), condition="canny", hints="made")
    (batch,) = data.load([[Pick(1, 0, False)]])
    assert (batch.hints[0].numpy().transpose(1, 2, 0) * 255 == canny(picture(1))).all()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_breaks_later_stops_or_is_skipped(tmp_path: Path, workers: int) -> None:
    folder = fill50k(tmp_path)
    whole = (folder / "target" / "1.png").read_bytes()
    (folder / "target" / "1.png").write_bytes(whole[: len(whole) // 2])  # its header is fine
    with pytest.raises(UserError) as raised:
        list(make(folder).load(PICKS, workers))
    assert str(raised.value).startswith("prompt.json, line 2: ")
    assert "Traceback" not in str(raised.value)
    skipping = make(folder, bad_rows="skip")
    batches = list(skipping.load([[Pick(1, 7, False)]], workers))
    wanted = list(skipping.load([[Pick(2, 7, False)]], workers))
    assert equal(batches, wanted)


def test_a_row_that_is_skipped_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = fill50k(tmp_path)
    for broken in (1, 2):
        whole = (folder / "target" / f"{broken}.png").read_bytes()
        (folder / "target" / f"{broken}.png").write_bytes(whole[: len(whole) // 2])
    with caplog.at_level("WARNING", "controlstack"):
        list(make(folder, bad_rows="skip").load([[Pick(row % 4, 7, False)] for row in range(12)]))
    named = [record.getMessage().partition(" is skipped")[0] for record in caplog.records]
    assert named == ["prompt.json, line 2", "prompt.json, line 3"]


@pytest.mark.parametrize("bad_rows", ["stop", "skip"])
def test_what_cannot_be_cached_is_a_bad_row(tmp_path: Path, bad_rows: str) -> None:
    folder = fill50k(tmp_path / "data")
    whole = (folder / "target" / "1.png").read_bytes()
    (folder / "target" / "1.png").write_bytes(whole[: len(whole) // 2])
    chosen = {"cache": str(tmp_path / "c"), "bad_rows": bad_rows}
    if bad_rows == "stop":
        with pytest.raises(UserError, match=r"prompt\.json, line 2: "):
            make(folder, **chosen)
    else:
        data = make(folder, **chosen)
        assert len(data) == 3
        (batch,) = data.load([[Pick(1, 7, False)]])
        assert torch.equal(batch.words[0], embedding("prompt 2"))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_set_of_the_library(tmp_path: Path, workers: int) -> None:
    datasets = pytest.importorskip("datasets")
    columns = {"image": 0, "conditioning_image": 100}
    table = {
        name: [Image.fromarray(picture(k + i)) for i in range(4)] for name, k in columns.items()
    }
    kinds = {name: datasets.Image() for name in columns} | {"text": datasets.Value("string")}
    rows = table | {"text": [f"prompt {i}" for i in range(4)]}
    whole = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
    whole.save_to_disk(str(tmp_path / "saved"))
    plain = make(fill50k(tmp_path / "files"), flip=0.5)
    wanted = list(plain.load(PICKS))
    assert equal(list(make(tmp_path / "saved", flip=0.5).load(PICKS, workers)), wanted)
    first, second = FormulaEncoders(), FormulaEncoders()
    for encoders in (first, second):
        cached = make(tmp_path / "saved", encoders, flip=0.5, cache=str(tmp_path / "c"))
        assert equal(list(cached.load(PICKS, workers)), wanted)
    assert (first.pictures_seen, second.pictures_seen) == (8, 0)


def test_picks_may_go_on_for_ever(tmp_path: Path) -> None:
    data = make(fill50k(tmp_path))
    step = 0

    def endless() -> object:
        nonlocal step
        while True:
            step += 1
            yield [Pick(step % 4, step, False)]

    batches = data.load(endless())
    for _ in range(5):
        next(batches)
    batches.close()
    assert step <= 7


def test_the_fingerprint_is_that_of_the_rows(tmp_path: Path) -> None:
    folder = fill50k(tmp_path)
    before = make(folder).fingerprint
    assert make(folder, flip=0.5).fingerprint == before
    assert make(folder, max_rows=3).fingerprint != before
    file = folder / "prompt.json"
    file.write_text(file.read_text().replace("prompt 3", "another"))
    assert make(folder).fingerprint != before


@pytest.mark.parametrize("condition", sorted(PREPROCESSORS))
def test_what_workers_are_sent_can_be_sent(condition: str) -> None:
    """macOS and Windows start workers afresh, with everything pickled."""
    entry = PREPROCESSORS[condition]
    sent = Condition(entry, entry.settings({}), made=True)
    assert pickle.loads(pickle.dumps(sent)).values == sent.values
