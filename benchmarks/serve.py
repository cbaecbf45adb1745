"""What serving costs: until the server is ready, a picture, memory over many, and many listeners.

Times are seconds of the processor, which a busy machine disturbs least; what is compared is
measured in turns, and each ratio is of one round. Every picture has a new seed, so that it is
sampled; both sides check the workflow first. Aims: ready in 1.2 times the import of torch, a
picture at most 3 % slower than by the warm command, no growth over 100 runs, 50 clients under 5 %.

Run from the checkout: python -m benchmarks.serve [--rounds 7] [--runs 100] [--clients 50]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from tests.comfyui import shipped
from tests.own_server import ROOT, OwnServer, command, serving, until

WORKFLOW = ROOT / "workflows" / "pose.json"
SEEDS = count(1)
WARM = 3
"""Runs before anything is measured: models are loaded, allocators have what they need."""

TWIN = """
import json, sys
from contextlib import nullcontext
from pathlib import Path
from typer.testing import CliRunner
from controlstack.cli.app import app
from controlstack.cli.places import PlaceOptions
from controlstack.demo.serving import DemoModels
from controlstack.ground.threads import one_thread
from controlstack.headless import host
from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.override import override
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import problems_of
from controlstack.headless.graph.workflow import load_workflow

workflow, out = Path(sys.argv[1]), Path(sys.argv[2])
registry = default_registry()
places = PlaceOptions(input=(workflow.parent / "input",)).folders(workflow, out)
models = DemoModels(places, [workflow], registry)
kept = Executor(registry)

def by_command(seed):
    asked = ["run", str(workflow), "--demo", "--out", str(out), "--seed", str(seed)]
    result = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert result.exit_code == 0, result.output

def by_executor(seed):
    graph = models.suited(load_workflow(workflow, registry), registry)
    graph = override(graph, registry, "KSampler.seed", str(seed))
    with host.use(models.folders(), watched=True), one_thread():
        assert not problems_of(graph, registry)
        kept.run(graph)

ways = {"command": by_command, "executor": by_executor}
for line in sys.stdin:
    way, seed = json.loads(line)
    ways[way](seed)
    print("done", flush=True)
"""
"""A warm process beside the server: the command as it is, and an executor that keeps its models."""


def spent(process: psutil.Process) -> float:
    """Seconds of the processor that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def cost(process: psutil.Process, act: Callable[[], None]) -> float:
    """What `act` costs a process."""
    before = spent(process)
    act()
    return spent(process) - before


def told(what: str, values: list[float], unit: str = "") -> None:
    """Print median, least and most."""
    middle, least, most = statistics.median(values), min(values), max(values)
    print(f"{what}: {middle:.3f}{unit} ({least:.3f} to {most:.3f})", flush=True)


def ratios(what: str, values: list[float], other: list[float]) -> None:
    """Print the ratio of each round."""
    told(what, [a / b for a, b in zip(values, other, strict=True)])


def ready(rounds: int, base: Path) -> None:
    """The start of a server beside the import of torch alone."""
    took: dict[str, list[float]] = {name: [] for name in ("torch", "server")}
    seen: dict[str, list[float]] = {name: [] for name in ("torch", "server")}
    alone = [sys.executable, "-c", "import torch; print(0, flush=True); input()"]
    # Bytecode as an installed program has it, wherever this one may write it.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(base / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    for turn in range(rounds + 1):
        for name, words in (("torch", alone), ("server", command(base, "--demo"))):
            began = time.perf_counter()
            process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=environment,
            )  # fmt: skip
            assert process.stdout is not None
            process.stdout.readline()
            seconds = time.perf_counter() - began
            cpu = spent(psutil.Process(process.pid))
            process.terminate()
            process.communicate()
            if turn:  # the first compiles bytecode
                took[name].append(cpu)
                seen[name].append(seconds)
    told("import torch, CPU", took["torch"], " s")
    told("server ready, CPU", took["server"], " s")
    ratios("  ratio", took["server"], took["torch"])
    ratios("  ratio by the clock", seen["server"], seen["torch"])


def queued(own: OwnServer, client: str | None = None) -> None:
    """One picture with a seed of its own, from the queue until it is in the history."""
    graph = shipped.with_values(GRAPH, "KSampler", "seed", next(SEEDS))
    body: dict[str, Any] = {"prompt": graph.prompt()}
    body["extra_data"] = {"extra_pnginfo": {"workflow": graph.workflow}}
    if client is not None:
        body["client_id"] = client
    job = own.post("/prompt", body).json["prompt_id"]
    until(lambda: job in own.get(f"/history/{job}").json)
    (past,) = own.get(f"/history/{job}").json.values()
    assert past["status"]["completed"] is True, past["status"]


def picture(rounds: int, own: OwnServer, base: Path) -> None:
    """A picture by the queue beside the same in a warm process without a server."""
    words = [sys.executable, "-c", TWIN, str(WORKFLOW), str(base / "twin")]
    twin = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stdin, stdout = twin.stdin, twin.stdout
    assert stdin is not None
    assert stdout is not None

    def beside(way: str) -> None:
        stdin.write(json.dumps([way, next(SEEDS)]) + "\n")
        stdin.flush()
        assert stdout.readline() == "done\n"

    server, other = psutil.Process(own.process.pid), psutil.Process(twin.pid)
    ways: dict[str, Callable[[], float]] = {
        "queued, nobody listens": lambda: cost(server, lambda: queued(own)),
        "queued, its client listens": lambda: cost(server, lambda: queued(own, "bench-0")),
        "the warm command": lambda: cost(other, lambda: beside("command")),
        "the executor alone": lambda: cost(other, lambda: beside("executor")),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    with listeners(own, 1):
        for turn in range(WARM + rounds):
            for name in list(ways)[:: 1 if turn % 2 else -1]:
                seconds = ways[name]()
                if turn >= WARM:
                    took[name].append(seconds)
    stdin.close()
    twin.wait()
    for name, values in took.items():
        told(f"a picture, {name}, CPU", values, " s")
    for name in list(ways)[:2]:
        for against in list(ways)[2:]:
            ratios(f"  {name} / {against}", took[name], took[against])


def memory(runs: int, own: OwnServer) -> None:
    """Resident memory over many runs."""
    process = psutil.Process(own.process.pid)
    held = []
    for number in range(runs):
        queued(own)
        if (number + 1) % max(1, runs // 10) == 0:
            held.append(process.memory_info().rss / 1e6)
    print(f"resident MB over {runs} runs: {', '.join(f'{one:.0f}' for one in held)}", flush=True)


@contextmanager
def listeners(own: OwnServer, number: int) -> Iterator[None]:
    """So many websockets, all read: `bench-0` and on."""
    import aiohttp

    loop = asyncio.new_event_loop()
    here = threading.Semaphore(0)

    async def listen(session: aiohttp.ClientSession, name: str) -> None:
        async with session.ws_connect(f"{own.url}/ws?clientId={name}") as socket:
            here.release()
            async for _ in socket:
                pass

    async def all_listen() -> None:
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(listen(session, f"bench-{n}") for n in range(number)))

    task = loop.create_task(all_listen())

    def work() -> None:
        asyncio.set_event_loop(loop)
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(number):
        here.acquire()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


def many(rounds: int, own: OwnServer, number: int) -> None:
    """A run while many listen beside one while one does."""
    process = psutil.Process(own.process.pid)
    took: dict[int, list[float]] = {1: [], number: []}
    for turn in range(rounds):
        for so_many in list(took)[:: 1 if turn % 2 else -1]:
            with listeners(own, so_many):
                took[so_many].append(cost(process, lambda: queued(own, "bench-0")))
    for so_many, values in took.items():
        told(f"a picture, {so_many} listen, CPU", values, " s")
    ratios(f"  {number} / 1", took[number], took[1])


PARTS = ("ready", "picture", "clients", "memory")
GRAPH = shipped.load_workflow(WORKFLOW, shipped.default_registry())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--only", choices=PARTS, action="append", help="repeat for more")
    options = parser.parse_args()
    parts = options.only or PARTS
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        if "ready" in parts:
            ready(options.rounds, base)
        with serving(base) as own:
            if "picture" in parts:
                picture(options.rounds, own, base)
            if "clients" in parts:
                many(options.rounds, own, options.clients)
            if "memory" in parts:
                memory(options.runs, own)


if __name__ == "__main__":
    main()
