"""One JSON on two hosts: every cell's PSNR and latent difference, and both hosts' time and memory.

ComfyUI is the server at COMFYUI_PATH, run by this Python; each is given the files that
`tests/sd15_files.py` or `tests/sdxl_files.py` writes. One thread each.

Run: COMFYUI_PATH=... python -m benchmarks.two_hosts [--family sdxl] [--write] [--record]
  --write    put the tables into docs/two-hosts.md, in the place of this version's
  --record   keep what this ComfyUI made of a dozen cells, for tests/headless/test_golden.py
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the server

import torch

from tests import cells, cells_beside, golden, two_hosts
from tests.cells import Prompt
from tests.comfyui.server import Server, serving
from tests.two_hosts import Made, Run, embedded, graph_of, latent_difference, psnr

DOCUMENT = Path(__file__).parents[1] / "docs" / "two-hosts.md"
ROUNDS = 5
TIMED = cells.prompt(2, "dpmpp_2m", "karras")

Table = list[str]


def matrix(comfyui: Run, ours: Run, family: str) -> Table:
    """A line for each sampler and schedule, a column for each number of controls: 48 cells, of SDXL
    each sampler and schedule once, 12.
    """
    axes = (cells.SAMPLERS, cells.SCHEDULERS)
    pairs = zip(*axes, strict=True) if family == "sdxl" else product(*axes)
    prompts = cells.matrix()
    lines = [
        "| sampler, scheduler | no control | 1 control | 2 controls |",
        "|---|---|---|---|",
    ]
    for pair in pairs:
        name = " ".join(pair)
        row = [_compared(prompts[f"{name} {count}"], comfyui, ours) for count in range(3)]
        lines.append(f"| {name} | {' | '.join(row)} |")
        print(lines[-1], flush=True)
    return lines


def beside(comfyui: Run, ours: Run, family: str) -> Table:
    """What lies beside the matrix, a line each."""
    lines = ["| beside the matrix | PSNR, latent |", "|---|---|"]
    prompts = cells_beside.others()
    if family == "sdxl":  # what knows nothing of the family is in the other table
        prompts = {name: prompts[name] for name in cells_beside.OF_SDXL} | cells_beside.sdxl()
    for name, prompt in prompts.items():
        lines.append(f"| {name} | {_compared(prompt, comfyui, ours)} |")
        print(lines[-1], flush=True)
    return lines


def wrong_ones(ours: Run) -> Table:
    """How far pictures with something wrong are from the right one: what the bar can see."""
    right = ours(graph_of(cells.prompt(2)))
    lines = ["| changed on purpose | PSNR, latent |", "|---|---|"]
    for name, prompt in _changed().items():
        lines.append(f"| {name} | {_told(right, ours(graph_of(prompt)))} |")
        print(lines[-1], flush=True)
    return lines


def costs(comfyui: Run, ours: Run, base: Path) -> Table:
    """Time of one picture in rounds taken in turns, and the most memory either process held."""
    took: dict[str, list[float]] = {"ComfyUI": [], "embedded": []}
    hosts = {"ComfyUI": comfyui, "embedded": ours}
    for seed in range(ROUNDS + 1):
        TIMED["sampler"]["inputs"]["seed"] = (
            seed  # another one: neither host may answer from memory
        )
        for name, run in hosts.items():
            began = time.perf_counter()
            run(graph_of(TIMED))
            took[name].append(time.perf_counter() - began)
    peaks = {name: _peak(name, base) for name in hosts}
    lines = ["| | ComfyUI | embedded | ratio |", "|---|---|---|---|"]
    theirs, own = (took[name][1:] for name in hosts)  # the first round warms up
    ratio = statistics.median(b / a for a, b in zip(theirs, own, strict=True))
    a, b = statistics.median(theirs), statistics.median(own)
    lines.append(f"| seconds a picture, median of {ROUNDS} | {a:.2f} | {b:.2f} | {ratio:.2f} |")
    a, b = peaks["ComfyUI"], peaks["embedded"]
    lines.append(f"| peak memory of the process, GB | {a:.2f} | {b:.2f} | {b / a:.2f} |")
    print(*lines[2:], sep="\n", flush=True)
    return lines


def put(section: str, title: str, document: str) -> str:
    """`document` with `section` under "## `title`", in the place of what was there, or added."""
    text = f"## {title}\n\n{section}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(document):
        return pattern.sub(lambda _: f"{text}\n", document).rstrip() + "\n"
    return f"{document.rstrip()}\n\n{text}"


def _compared(prompt: Prompt, comfyui: Run, ours: Run) -> str:
    graph = graph_of(prompt)
    return _told(comfyui(graph), ours(graph))


def _told(one: Made, other: Made) -> str:
    decibels = psnr(one.pictures, other.pictures)
    said = "equal" if decibels == float("inf") else f"{decibels:.1f} dB"
    return f"{said}, {latent_difference(one.latent, other.latent):.0e}"


def _changed() -> dict[str, Prompt]:
    """The first cell of two controls with one thing wrong."""

    def with_values(node: str, **values: object) -> Prompt:
        prompt = cells.prompt(2)
        prompt[node]["inputs"] |= values
        return prompt

    return {
        "both controls left out": cells.prompt(0),
        "the second control left out": cells.prompt(1),
        "the weights of words left out": with_values("positive", text=cells.UNWEIGHTED),
        "one word's weight 1.2 for 1.3": with_values(
            "positive", text=cells.POSITIVE.replace("1.3", "1.2")
        ),
        "strength 1.1 for 1.2": with_values("add1", strength=1.1),
        "cfg 6.9 for 7": with_values("sampler", cfg=6.9),
        "the other's hint": with_values("add1", image=["hint0", 0]),
        "scheduler simple for normal": with_values("sampler", scheduler="simple"),
    }


def _peak(name: str, base: Path) -> float:
    """The most memory, in GB, of a host that makes one picture and does nothing else."""
    command = [sys.executable, "-m", "benchmarks.two_hosts", "--peak", name, "--base", str(base)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _print_peak(name: str, base: Path) -> None:
    """ru_maxrss counts KiB on Linux and bytes on macOS."""
    if name == "embedded":
        embedded(base)(graph_of(TIMED))
        who = resource.RUSAGE_SELF
    else:
        with _server(base) as server:
            two_hosts.on_comfyui(server)(graph_of(TIMED))
        who = resource.RUSAGE_CHILDREN
    unit = 1 if sys.platform == "darwin" else 1024
    print(resource.getrusage(who).ru_maxrss * unit / 1e9)


@contextmanager
def _server(base: Path) -> Iterator[Server]:
    """ComfyUI on the files in `base`, with a base folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for part in ("models", "input"):
            (Path(folder) / part).symlink_to(base / part, target_is_directory=True)
        with serving(Path(os.environ["COMFYUI_PATH"]).resolve(), Path(folder)) as server:
            yield server


def _version(server: Server) -> str:
    system: Mapping[str, str] = server.get("/system_stats").json["system"]
    return system["comfyui_version"]


def main() -> None:
    """Measure, print and keep what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--family", choices=two_hosts.FAMILIES, default="sd15")
    parser.add_argument("--write", action="store_true", help="put the tables into the document")
    parser.add_argument("--record", action="store_true", help="record the golden cells, only that")
    parser.add_argument("--peak", choices=("ComfyUI", "embedded"), help=argparse.SUPPRESS)
    parser.add_argument("--base", type=Path, help="a folder that has the files already")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        base = options.base or two_hosts.write_files(Path(folder), options.family)
        if options.peak:
            _print_peak(options.peak, base)
            return
        with _server(base) as server:
            comfyui, ours = two_hosts.on_comfyui(server), embedded(base)
            version = _version(server)
            if options.record:
                versions = {"comfyui": version, "torch": torch.__version__}
                golden.record(comfyui, base, versions, options.family)
                return
            title = f"ComfyUI {version}, torch {torch.__version__.partition('+')[0]}"
            title = f"SDXL: {title}" if options.family == "sdxl" else title
            print(title)
            tables = [matrix(comfyui, ours, options.family), beside(comfyui, ours, options.family)]
            tables.append(wrong_ones(ours))
            tables.append(costs(comfyui, ours, base))
    if options.write:
        section = "\n\n".join("\n".join(table) for table in tables)
        DOCUMENT.write_text(put(section, title, DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
