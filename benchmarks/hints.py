"""Hints: how long each takes, and how much memory, beside what others make them with.

Exact ones beside huggingface's controlnet-aux, where it has them, and beside the same hint by
OpenCV and NumPy alone. Learned ones beside their own networks: what a call takes besides them.
Pictures are noise with shapes, weights are random; rounds are taken in turns on one thread, and a
ratio is the median of the rounds' own. Those whose weights ship see a photo of one person, and with
--wheel (tools/mediapipe_weights.py) the same is done with LiteRT in the place of torch. Memory is
the peak of a process that makes one hint and does nothing else. Aims: 1.00 at most, and 5 %; for
photos 400 ms and 300 MB.

Run: python -m benchmarks.hints [--only NAME ...] [--edge 512 1024] [--rounds N] [--wheel FILE]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the other processes

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks import hint_references
from controlstack.preprocessors import weights
from controlstack.preprocessors.making import Loaded, Sizing, Source, make
from controlstack.preprocessors.pose.people import parse_poses
from controlstack.preprocessors.registry import EXACT, LEARNED, PREPROCESSORS, SHIPPED
from controlstack.preprocessors.spec import Preprocessor
from tests.checkout import ROOT
from tools.mediapipe_weights import lite_network

EDGES = (512, 1024)
ROUNDS, LEARNED_ROUNDS = 15, 3
AT_LEAST = 0.02
"""Seconds: what is faster is done several times a round."""

Call = Callable[[], Any]


def picture_of(edge: int) -> npt.NDArray[np.uint8]:
    """A slope, a disc, lines and noise: edge x edge x 3."""
    slope = np.linspace(60, 200, edge, dtype=np.uint8)
    picture = np.stack(np.broadcast_arrays(slope[None], slope[:, None], slope[::-1][None]), axis=2)
    picture = np.ascontiguousarray(picture)
    cv2.circle(picture, (edge // 3, edge // 2), edge // 5, (20, 200, 240), -1)
    for place in range(0, edge, edge // 16):
        cv2.line(picture, (0, place), (edge - 1, edge - place), (0, 0, 0), 2)
    noise = np.random.default_rng(0).integers(0, 30, picture.shape, np.uint8)
    return np.asarray(cv2.add(picture, noise))


def photo_of(edge: int) -> npt.NDArray[np.uint8]:
    """One person, whom scikit-image ships: edge x edge x 3."""
    photo = cv2.imread(str(ROOT / "tests" / "photos" / "astronaut.jpg"))
    return np.asarray(cv2.resize(photo, (edge, edge), interpolation=cv2.INTER_CUBIC)[..., ::-1])


def source_of(entry: Preprocessor, edge: int) -> Source:
    """What `entry` takes, of edge x edge."""
    picture = photo_of(edge) if entry in SHIPPED else picture_of(edge)
    if entry.takes == "picture":
        return picture
    if entry.takes == "pose":
        return parse_poses(hint_references.pose_json(edge))[0]
    floats = picture.astype(np.float32) / 255
    if entry.takes == "masked picture":
        return floats, np.ascontiguousarray(floats[:, :, 0])
    return floats.mean(axis=2) if entry.takes == "depth" else picture[:, :, 0] % np.uint8(150)


def seconds(call: Call, times: int = 1) -> float:
    """How long one call takes, of `times`."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def in_turns(calls: Sequence[Call], rounds: int) -> npt.NDArray[np.float64]:
    """Seconds of each call (columns) in each round (rows); a first round warms up."""
    times = [max(1, int(AT_LEAST / max(1e-6, seconds(call)))) for call in calls]
    return np.array(
        [
            [seconds(call, count) for call, count in zip(calls, times, strict=True)]
            for _ in range(rounds)
        ]
    )


def exact_row(entry: Preprocessor, edge: int, rounds: int) -> str:
    """One line: our milliseconds, and how many times theirs that is."""
    source, settings = source_of(entry, edge), entry.settings({})
    with quiet():
        others = hint_references.of(entry.name, source, edge)
    calls: list[Call] = [lambda: make(entry, source, settings, Sizing()), *others.values()]
    with quiet():
        took = in_turns(calls, rounds)
    columns = {}
    for number, name in enumerate(others, start=1):
        ratio = statistics.median(took[:, 0] / took[:, number])
        columns[name] = f"{np.median(took[:, number]) * 1e3:9.2f} {ratio:6.2f}"
    beside = "".join(f"{columns.get(name, '-'):>18}" for name in hint_references.COLUMNS)
    return f"{entry.name:20}{edge:5}{np.median(took[:, 0]) * 1e3:12.2f}{beside}"


class Clock:
    """Adds up what networks take inside other calls."""

    def __init__(self, networks: Sequence[Any]) -> None:
        self.inside = 0.0
        for network in networks:
            own = type(network)
            network.__class__ = type(own.__name__, (own,), {"__call__": self._timed(own.__call__)})

    def _timed(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return plain(*given, **named)
            finally:
                self.inside += time.perf_counter() - start

        return call

    def of(self, call: Call) -> tuple[float, float]:
        """Seconds of a call, and of the networks in it."""
        self.inside = 0.0
        whole = seconds(call)
        return whole, self.inside


def learned_row(entry: Preprocessor, edge: int, rounds: int) -> str:
    """One line: seconds of a call, of the networks in it, and what is added to them."""
    call, networks = learned_call(entry, edge)
    clock = Clock(networks)
    clock.of(call)
    took = np.array([clock.of(call) for _ in range(rounds)])
    added = statistics.median(took[:, 0] / took[:, 1] - 1)
    whole, inside = np.median(took, axis=0)
    return f"{entry.name:20}{edge:5}{whole:12.3f}{inside:12.3f}{added:11.1%}"


def shipped_row(entry: Preprocessor, edge: int, rounds: int, wheel: Path | None) -> str:
    """One line: milliseconds of a call by torch, by LiteRT, and the one as a part of the other."""
    annotator = annotator_of(entry)
    calls = [call_of(entry, edge, annotator)]
    if wheel is not None:
        assert entry.learning is not None
        with zipfile.ZipFile(wheel) as files:
            names = [Path(file).stem for file in entry.learning.models[0].files]
            lite = [lite_network(files, name) for name in names]
        calls.append(call_of(entry, edge, replace(annotator, networks=lite)))
    took = in_turns(calls, rounds)
    columns = "".join(f"{np.median(part) * 1e3:12.0f}" for part in took.T)
    ratio = f"{statistics.median(took[:, 0] / took[:, 1]):11.2f}" if wheel is not None else ""
    return f"{entry.name:20}{edge:5}{columns}{ratio}"


def learned_call(entry: Preprocessor, edge: int) -> tuple[Call, Sequence[Any]]:
    """Makes the hint of a picture; its networks."""
    annotator = annotator_of(entry)
    return call_of(entry, edge, annotator), annotator.networks


def annotator_of(entry: Preprocessor) -> Any:
    """`entry` loaded, with random weights in the published form where its own do not ship."""
    import torch

    torch.set_num_threads(1)
    assert entry.learning is not None
    if not entry.downloads:
        found = weights.find(entry.learning.models[0], [])
        assert found is not None
        return entry.learning.load(found)
    with tempfile.TemporaryDirectory() as folder, quiet():
        return entry.learning.load(hint_references.published(entry.name, Path(folder)))


def call_of(entry: Preprocessor, edge: int, annotator: Any) -> Call:
    """Makes the hint of a picture with a loaded preprocessor."""
    import torch

    loaded = Loaded(annotator, torch.device("cpu"))
    source, settings = source_of(entry, edge), entry.settings({})
    return lambda: make(entry, source, settings, Sizing(), loaded)


def peaks(name: str, edge: int) -> tuple[float, float]:
    """Megabytes that a process holds before its first hint, and at most while it makes one."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.hints",
        "--memory",
        name,
        "--edge",
        str(edge),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    ready, peak = run.stdout.split()[-2:]
    return float(ready), float(peak)


def print_peaks(name: str, edge: int) -> None:
    """What `peaks` reads, of this process."""
    entry = PREPROCESSORS[name]
    if entry.learning is not None:
        call, _ = learned_call(entry, edge)
    else:
        source, settings = source_of(entry, edge), entry.settings({})
        make(entry, source_of(entry, 64), settings, Sizing())  # the libraries are loaded

        def call() -> Any:
            return make(entry, source, settings, Sizing())

    ready = held("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak of loading is forgotten
    call()
    print(ready, held("VmHWM"))


def held(field: str) -> float:
    """Megabytes that Linux counts for this process."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of libraries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PREPROCESSORS, default=list(PREPROCESSORS))
    parser.add_argument("--edge", "--side", nargs="+", type=int, default=list(EDGES))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--wheel", type=Path, help="MediaPipe's, to compare with LiteRT")
    parser.add_argument("--memory", choices=PREPROCESSORS, help="print the peaks of one hint only")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.memory:
        print_peaks(options.memory, options.edge[0])
        return
    exact = [entry for entry in EXACT if entry.name in options.only]
    shipped = [entry for entry in SHIPPED if entry.name in options.only]
    learned = [entry for entry in LEARNED if entry.name in options.only]
    if exact:
        rounds = options.rounds or ROUNDS
        print(
            f"Exact hints: milliseconds, then ControlStack's as a part of theirs; {rounds} rounds"
        )
        names = "".join(f"{name:>18}" for name in hint_references.COLUMNS)
        print(f"{'':20}{'px':>5}{'ControlStack':>12}{names}")
        for entry in exact:
            for edge in options.edge:
                print(exact_row(entry, edge, rounds), flush=True)
    if learned:
        rounds = options.rounds or LEARNED_ROUNDS
        print(f"\nLearned hints: seconds of a call and of the networks in it; {rounds} rounds")
        print(f"{'':20}{'px':>5}{'call':>12}{'networks':>12}{'added':>11}")
        for entry in learned:
            for edge in options.edge:
                print(learned_row(entry, edge, rounds), flush=True)
    if shipped:
        rounds = options.rounds or ROUNDS
        print(f"\nHints of a photo with one person: milliseconds; {rounds} rounds")
        beside = f"{'LiteRT':>12}{'ratio':>11}" if options.wheel else ""
        print(f"{'':20}{'px':>5}{'torch':>12}{beside}")
        for entry in shipped:
            for edge in options.edge:
                print(shipped_row(entry, edge, rounds, options.wheel), flush=True)
    print("\nMemory: megabytes before the first hint, at most during one, and the difference")
    for entry in (*exact, *shipped, *learned):
        for edge in options.edge:
            ready, peak = peaks(entry.name, edge)
            print(
                f"{entry.name:20}{edge:5}{ready:10.0f}{peak:10.0f}{peak - ready:10.0f}", flush=True
            )


if __name__ == "__main__":
    main()
