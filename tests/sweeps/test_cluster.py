"""Rows on Ray: the same pictures, whoever dies on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from controlstack.cli.app import app
from controlstack.ground.cluster import LOCAL, Cluster, fitting_actors, joined
from controlstack.ground.errors import UserError
from controlstack.headless.folders import Folders
from controlstack.sweeps.cluster import on
from controlstack.sweeps.plan import Row
from controlstack.sweeps.record import Record, Store
from controlstack.sweeps.work import Job

pytest.importorskip("ray", reason="needs Ray (the extra cluster)")
pytestmark = pytest.mark.slow

CANNY = Path(__file__).parents[2] / "workflows" / "canny.json"
QUICK = (
    *(str(CANNY), "--demo", "--no-fidelity", "--set", "KSampler.steps=1"),
    *("--set", "EmptyLatentImage.width=64", "--set", "EmptyLatentImage.height=64"),
)
ROWS = ("--set", "ControlStackAdd.strength=0.4,1", "--seed", "1..6")
TWO = ("--ray", "--actors", "2")


def swept(folder: Path, *further: str) -> None:
    result = CliRunner().invoke(app, ["sweep", *QUICK, *ROWS, "--out", str(folder), *further])
    assert result.exit_code == 0, result.stderr


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "pictures").iterdir()}


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "sweep.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The pictures of one process."""
    folder = tmp_path_factory.mktemp("alone")
    swept(folder)
    return pictures(folder)


def begun(folder: Path, rows: int, *further: str) -> subprocess.Popen[bytes]:
    """A sweep in a process of its own that has that many rows."""
    program = [sys.executable, "-m", "controlstack.cli", "sweep", *QUICK, *ROWS, *TWO]
    process = subprocess.Popen(
        [*program, "--out", str(folder), *further], stderr=subprocess.PIPE, env=os.environ
    )
    journal, until = folder / "sweep.jsonl", time.monotonic() + 240
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= rows):
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.02)
    return process


def actors_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of Ray that run rows of a sweep, which are its descendants."""
    every = psutil.Process(process.pid).children(recursive=True)
    return [one for one in every if " ".join(one.cmdline()).startswith("ray::Serving")]


@pytest.mark.parametrize("shared", [(), ("--shared",)])
def test_two_actors_give_the_pictures_of_one_process(
    tmp_path: Path, alone: dict[str, bytes], shared: tuple[str, ...]
) -> None:
    swept(tmp_path / "s", *TWO, *shared)
    assert pictures(tmp_path / "s") == alone
    assert not any(row["error"] for row in lines(tmp_path / "s"))


def test_a_worker_that_is_killed_costs_its_row_a_retry(
    tmp_path: Path, alone: dict[str, bytes]
) -> None:
    process = begun(tmp_path / "s", 2)
    victims = actors_of(process)
    assert len(victims) == 2
    victims[0].kill()
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said.decode()
    assert pictures(tmp_path / "s") == alone
    rows = lines(tmp_path / "s")
    assert len(rows) == 12
    assert not any(row["error"] for row in rows)


def test_ctrl_c_ends_actors_and_all(tmp_path: Path, alone: dict[str, bytes]) -> None:
    process = begun(tmp_path / "s", 2)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.decode().splitlines()[-1] == "Stopped."
    _, left = psutil.wait_procs(children, timeout=30)
    assert not left
    # One process goes on where two stopped.
    swept(tmp_path / "s")
    assert pictures(tmp_path / "s") == alone


class Idle:
    """An actor whose rows do nothing; the first of some dies once, others always."""

    def __init__(self, job: Job, folder: str) -> None:
        self._marks = Path(job.places.output)

    def run(self, row: Row) -> tuple[Record, list[tuple[int, bytes]]]:
        mark = self._marks / row.address
        if row.settings.get("dies") == "always" or (
            row.settings.get("dies") == "once" and not mark.exists()
        ):
            mark.touch()
            os._exit(1)
        return Record(row.address, row.settings), [(0, row.address.encode())]


def idle_rows(count: int, dying: dict[int, str]) -> list[Row]:
    def settings(number: int) -> dict[str, Any]:
        return {"dies": dying[number]} if number in dying else {}

    return [Row(n, f"{n:032x}", settings(n), 0, (), frozenset()) for n in range(count)]


def test_rows_come_once_each_and_deaths_stay_theirs(tmp_path: Path) -> None:
    """2000 rows that do nothing: one whose process dies once is there, one whose process always
    dies is recorded as failed, and no other is lost or comes twice."""
    store = Store(tmp_path / "s")
    store.begin()
    here = Folders((), (), tmp_path, tmp_path)
    rows = idle_rows(2000, {300: "once", 700: "always"})
    with joined(Cluster(LOCAL, actors=2)) as pool:
        records = list(on(pool, worker=Idle)(rows, Job((), here), store))
    assert sorted(record.address for record in records) == [row.address for row in rows]
    failed = [record for record in records if record.error]
    assert [record.address for record in failed] == [rows[700].address]
    assert "its process died 4 times" in failed[0].error
    kept = {path.stem for path in (tmp_path / "s" / "pictures").iterdir()}
    assert kept == {row.address for row in rows} - {rows[700].address}


class Refusing:
    """What cannot be made, such as a worker for a device that is not there."""

    def __init__(self, why: str) -> None:
        raise UserError(why)


def test_what_cannot_be_made_says_why() -> None:
    """Once and at once: it is no process that died."""
    with (
        joined(Cluster(LOCAL, actors=2)) as pool,
        pytest.raises(UserError, match="there is no device cuda:7"),
    ):
        list(pool.run(Refusing, ("there is no device cuda:7",), range(20)))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nobody", "ray://127.0.0.1:1", "auto"])
def test_nobody_answers(address: str) -> None:
    with pytest.raises(UserError, match=f"no Ray answers at {address} "), joined(Cluster(address)):
        pass


def test_more_cores_than_there_are() -> None:
    cluster = Cluster(LOCAL, actors=1, cores=4096)
    with pytest.raises(UserError, match="1 actors of 4096 cores were asked for"), joined(cluster):
        pass


def test_actors_as_there_are_cores_and_gpus() -> None:
    def machine(cores: float, gpus: float, alive: bool = True) -> dict[str, Any]:
        return {"Alive": alive, "Resources": {"CPU": cores} | ({"GPU": gpus} if gpus else {})}

    nodes = [machine(8.0, 2.0), machine(4.0, 0), machine(2.0, 4.0), machine(99.0, 9.0, alive=False)]
    assert fitting_actors(Cluster(LOCAL, cores=2), nodes) == 4 + 2 + 1
    assert fitting_actors(Cluster(LOCAL, cores=2, gpus=1), nodes) == 2 + 0 + 1
    assert fitting_actors(Cluster(LOCAL, actors=2, cores=2, gpus=1), nodes) == 2
    with pytest.raises(UserError, match=r"of 2 cores and 1 GPU .* 4 cores and 0 GPUs; .*--device"):
        fitting_actors(Cluster(LOCAL, cores=2, gpus=1), nodes[1:2])


@pytest.mark.parametrize("ends", [False, True])
def test_a_process_that_ray_kills_for_memory_costs_its_item(
    monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """Ray's memory monitor is played: its error comes in the place of one item's result. Where Ray
    itself ends, that is one sentence."""
    from ray.exceptions import OutOfMemoryError, RaySystemError
    from ray.util import ActorPool

    plain = ActorPool.get_next_unordered

    def next_of(pool: Any) -> Any:
        number, value = plain(pool)
        if number == 3:
            words = "low on memory\nmore"
            raise RaySystemError(words) if ends else OutOfMemoryError(words)
        return number, value

    monkeypatch.setattr(ActorPool, "get_next_unordered", next_of)
    items = [Path(f"{number}") for number in range(9)]
    with joined(Cluster(LOCAL, actors=1)) as pool:
        if ends:
            with pytest.raises(UserError, match=r"^Ray ended at its work \("):
                list(pool.run(Placed, (), items))
            return
        results = list(pool.run(Placed, (), items))
    assert sorted(result.item for result in results) == items
    (died,) = (result for result in results if result.died)
    assert died.item == Path("3")
    assert died.died == "its process died 4 times: low on memory"


class Placed:
    """Says what a path stands for in its process."""

    def run(self, item: Path) -> Path:
        return item.absolute()


def test_paths_mean_what_they_mean_to_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever Ray was started, and its processes with it."""
    with joined(Cluster(LOCAL, actors=1)) as pool:
        monkeypatch.chdir(tmp_path)
        (result,) = pool.run(Placed, (), [Path("models")])
    assert result.value == tmp_path / "models"


class Sighted:
    """Says which GPUs its process sees."""

    def run(self, item: int) -> tuple[int, str]:
        time.sleep(0.5)  # the other process gets an item, too
        return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES", "")


def test_each_actor_sees_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray is told of two GPUs that are none: what is shown is who is given which."""
    import ray

    monkeypatch.setattr(ray, "init", partial(ray.init, num_gpus=2, num_cpus=2))
    with joined(Cluster(LOCAL, gpus=1)) as pool:
        seen = {result.value for result in pool.run(Sighted, (), range(8))}
    assert len({process for process, _ in seen}) == 2
    assert sorted(devices for _, devices in seen) == ["0", "1"]
