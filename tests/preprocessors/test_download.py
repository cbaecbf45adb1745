"""Downloads from a hub on this machine: whole and checked, or not at all, and never unasked."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from controlstack.ground.errors import UserError
from controlstack.preprocessors.download import download
from controlstack.preprocessors.spec import Weights
from controlstack.preprocessors.weights import find, missing
from tests.hub_server import Hub, serving

DATA = {"a.pth": os.urandom(300_000), "sub/b.pth": os.urandom(2_000)}
NETS = Weights("nets", "somebody/Nets", tuple(DATA), "MIT", True, 1)
FOLDER = Weights("tiny", "somebody/Tiny", ("config.json", "model.safetensors"), "MIT", True, 1)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub with the files of NETS and FOLDER, which huggingface_hub asks in this test."""
    with serving() as hub:
        for name, data in DATA.items():
            hub.put(f"somebody/Nets/{name}", data)
        hub.put("somebody/Tiny/config.json", b'{"model_type": "dpt"}', lfs=False)
        hub.put("somebody/Tiny/model.safetensors", b"weights" * 999)
        ask(monkeypatch, hub.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # as CI sets it
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr("time.sleep", lambda seconds: None)  # between retries
        yield hub


def ask(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """What HF_ENDPOINT does to a process that has not imported huggingface_hub yet."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


class Seen:
    """Counts the steps of each piece of work; `stop_at` raises at that step."""

    def __init__(self, stop_at: int = 0) -> None:
        self.steps: dict[str, list[int]] = {}
        self.stop_at = stop_at
        self.open = 0

    @contextmanager
    def begin(self, total: int, text: str) -> Iterator[Seen]:
        self.now = self.steps.setdefault(text, [0, total])
        self.open += 1
        yield self
        self.open -= 1

    def advance(self) -> None:
        self.now[0] += 1
        if self.stop_at and self.now[0] == self.stop_at:
            raise StoppedError


class StoppedError(Exception):
    """As ComfyUI's own, which is no UserError."""


def left(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_files_come_whole_into_a_folder_of_their_name(hub: Hub, tmp_path: Path) -> None:
    target = tmp_path / "models" / "controlstack"
    paths = download(NETS, target)
    assert paths == (target / "nets" / "a.pth", target / "nets" / "sub" / "b.pth")
    assert [path.read_bytes() for path in paths] == list(DATA.values())
    assert left(target) == ["nets", "nets/a.pth", "nets/sub", "nets/sub/b.pth"], "no leftovers"
    assert find(NETS, [target]) == paths
    assert not (tmp_path / "cache").exists(), "nothing where the user cannot see it"


def test_a_folder_comes_as_transformers_saves_it(hub: Hub, tmp_path: Path) -> None:
    assert download(FOLDER, tmp_path) == (tmp_path / "tiny",)
    assert find(FOLDER, [tmp_path]) == (tmp_path / "tiny",)
    assert left(tmp_path / "tiny") == ["config.json", "model.safetensors"]


def test_progress_runs_from_nothing_to_the_end_for_each_file(hub: Hub, tmp_path: Path) -> None:
    hub.put("somebody/Nets/a.pth", bytes(3_000_000))
    seen = Seen()
    download(NETS, tmp_path, seen.begin)
    assert seen.steps == {
        "downloading a.pth (3 MB)": [100, 100],
        "downloading b.pth (2 kB)": [100, 100],
    }
    assert seen.open == 0


def test_a_published_checksum_is_held(
    hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in DATA.items()}
    with caplog.at_level(logging.INFO, "controlstack"):
        download(replace(NETS, sha256=sums), tmp_path)
    assert caplog.text.count("the right sha256 (the published one)") == 2


def test_another_file_than_the_published_one_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    """Even where the hub vouches for it: somebody may have put another one there."""
    wrong = "ab" * 32
    with pytest.raises(UserError) as raised:
        download(replace(NETS, sha256={"sub/b.pth": wrong}), tmp_path)
    said = str(raised.value)
    assert wrong in said
    assert hashlib.sha256(DATA["sub/b.pth"]).hexdigest() in said
    assert f"{hub.url}/somebody/Nets/resolve/main/sub/b.pth" in said
    assert left(tmp_path) == [], "nor the file before it"


@pytest.mark.parametrize("file", ["somebody/Tiny/config.json", "somebody/Tiny/model.safetensors"])
def test_a_file_that_is_not_what_the_hub_states_is_not_kept(
    hub: Hub, tmp_path: Path, file: str
) -> None:
    hub.lies[file] = "0" * len(hub.etag(file))
    with pytest.raises(UserError, match="the hub's own one is 0000"):
        download(FOLDER, tmp_path)
    assert left(tmp_path) == []


def test_the_log_says_whose_sum_was_compared(
    hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "controlstack"):
        download(FOLDER, tmp_path)
    assert "config.json has the right git sum (the hub's own one)" in caplog.text
    assert "model.safetensors has the right sha256 (the hub's own one)" in caplog.text


@pytest.mark.parametrize("etag", ["opaque", "a" * 63, "A" * 64])
def test_a_file_without_a_checksum_is_not_even_asked_for(
    hub: Hub, tmp_path: Path, etag: str
) -> None:
    """A mirror's etag is no checksum; where one was published, it is enough."""
    hub.lies["somebody/Nets/sub/b.pth"] = etag
    with pytest.raises(UserError, match=r"sub/b\.pth comes without a checksum, and none is pub"):
        download(NETS, tmp_path)
    assert {line.split()[0] for line in hub.asked} == {"HEAD"}
    assert left(tmp_path) == []
    published = hashlib.sha256(DATA["sub/b.pth"]).hexdigest()
    assert download(replace(NETS, sha256={"sub/b.pth": published}), tmp_path)


def test_a_file_far_larger_than_published_is_not_even_asked_for(hub: Hub, tmp_path: Path) -> None:
    hub.states["somebody/Nets/a.pth"] = 40_000_000_000
    with pytest.raises(UserError, match=r"has 40\.0 GB or more, where at most 18\.0 MB"):
        download(NETS, tmp_path)
    assert {line.split()[0] for line in hub.asked} == {"HEAD"}
    assert left(tmp_path) == []


def test_more_bytes_than_stated_are_not_taken(hub: Hub, tmp_path: Path) -> None:
    hub.states["somebody/Nets/a.pth"] = 1000
    with pytest.raises(UserError, match=r"a\.pth (has 0\.3 MB or more|could not be downloaded)"):
        download(NETS, tmp_path)
    assert left(tmp_path) == []


def test_a_server_that_stalls_is_given_up(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlstack.preprocessors.download_transfer.PATIENCE", 0.3)
    monkeypatch.setattr("controlstack.preprocessors.download_transfer.FAREWELL", 0.1)
    hub.stall.add("somebody/Nets/a.pth")
    with pytest.raises(UserError, match=r"could not be downloaded \(no progress in 0 seconds\)"):
        download(NETS, tmp_path)
    assert left(tmp_path) == []


def test_two_downloads_at_once_do_not_hurt_each_other(hub: Hub, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = [job.result() for job in [pool.submit(download, NETS, tmp_path) for _ in range(4)]]
    assert len(set(found)) == 1
    assert [path.read_bytes() for path in found[0]] == list(DATA.values())
    assert left(tmp_path) == ["nets", "nets/a.pth", "nets/sub", "nets/sub/b.pth"]


def test_a_transfer_that_is_cut_off_goes_on(hub: Hub, tmp_path: Path) -> None:
    hub.cut["somebody/Nets/a.pth"] = 1
    paths = download(NETS, tmp_path)
    assert paths[0].read_bytes() == DATA["a.pth"]


def test_a_transfer_that_stays_cut_off_leaves_nothing(hub: Hub, tmp_path: Path) -> None:
    hub.cut["somebody/Nets/sub/b.pth"] = 1
    hub.dies_after_cuts = True
    with pytest.raises(UserError, match=r"b\.pth could not be downloaded \(.*\): try again"):
        download(NETS, tmp_path)
    assert left(tmp_path) == []


def test_a_file_that_is_not_there_is_known_before_any_is_fetched(hub: Hub, tmp_path: Path) -> None:
    del hub.files["somebody/Nets/sub/b.pth"]
    with pytest.raises(UserError, match=r"sub/b\.pth could not be downloaded \(404"):
        download(NETS, tmp_path)
    assert {line.split()[0] for line in hub.asked} == {"HEAD"}
    assert left(tmp_path) == []


def test_no_server(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ask(monkeypatch, f"http://127.0.0.1:{free.getsockname()[1]}")
    with pytest.raises(UserError, match="Connection refused") as raised:
        download(NETS, tmp_path)
    assert str(tmp_path / "nets") in str(raised.value), "where to put it by hand"
    assert "\n" not in str(raised.value)
    assert left(tmp_path) == []


def test_what_stops_the_progress_stops_the_download(hub: Hub, tmp_path: Path) -> None:
    seen = Seen(stop_at=1)
    with pytest.raises(StoppedError):
        download(NETS, tmp_path, seen.begin)
    assert left(tmp_path) == []


def test_an_old_file_stays_until_the_new_one_is_whole(hub: Hub, tmp_path: Path) -> None:
    old = tmp_path / "nets" / "a.pth"
    old.parent.mkdir()
    old.write_bytes(b"old")
    with pytest.raises(UserError):
        download(replace(NETS, sha256={"a.pth": "0" * 64}), tmp_path)
    assert old.read_bytes() == b"old"
    download(NETS, tmp_path)
    assert old.read_bytes() == DATA["a.pth"]


def test_a_folder_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written") as raised:
        download(NETS, tmp_path / "file")
    assert str(tmp_path / "file" / "nets") in str(raised.value)


@pytest.mark.parametrize("name", ["../nets", "/nets", "a/../../b", "C:\\nets", ""])
def test_a_name_never_leaves_the_folder(hub: Hub, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="names nothing inside"):
        download(replace(NETS, name=name), tmp_path / "target")
    with pytest.raises(UserError, match="names nothing inside"):
        download(replace(NETS, files=(name,)), tmp_path / "target")
    assert left(tmp_path) == []


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Who tried to reach anything."""
    tried: list[object] = []

    def refuse(self: socket.socket, address: object) -> None:
        tried.append(address)
        raise AssertionError(f"reached for {address}")

    for way in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, way, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: refuse(socket.socket(), a))
    return tried


def test_offline_nothing_is_asked(
    no_sockets: list[object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set") as raised:
        download(NETS, tmp_path)
    assert str(tmp_path / "nets") in str(raised.value)
    assert no_sockets == []


def test_looking_for_weights_asks_nobody(no_sockets: list[object], tmp_path: Path) -> None:
    for weights in (NETS, FOLDER):
        assert find(weights, [tmp_path]) is None
        assert "not on this machine" in str(missing(weights, [tmp_path]))
    assert no_sockets == []


def test_the_environment_of_a_user_is_heeded(hub: Hub, tmp_path: Path) -> None:
    """HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE in a process of its own, as they are really set."""
    words = f"""
from pathlib import Path
from controlstack.preprocessors.download import download
from controlstack.preprocessors.spec import Weights
from controlstack.preprocessors.weights import find
nets = Weights("nets", "somebody/Nets", ("a.pth",), "MIT", True, 1)
print(find(nets, [Path({str(tmp_path)!r})]))
print(download(nets, Path({str(tmp_path)!r})))
"""
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", words]
        return subprocess.run(command, env={**env, **more}, capture_output=True, text=True)

    refused = run(HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in refused.stderr
    assert hub.asked == []
    came = run()
    assert came.stdout.splitlines() == ["None", f"({(tmp_path / 'nets' / 'a.pth')!r},)"], (
        came.stderr
    )
    assert (tmp_path / "nets" / "a.pth").read_bytes() == DATA["a.pth"]
