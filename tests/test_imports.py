"""ComfyUI imports the pack at every start: that must cost next to nothing and pull nothing in.

What is imported does not change when preprocessors are added: their libraries come with the first
hint that needs them.
"""

import json
import subprocess
import sys
from pathlib import Path

STACK = Path(__file__).parents[1] / "workflows" / "stack_pose_depth.json"

OURS = {
    "controlstack",
    *(f"controlstack.ground{name}" for name in ("", ".errors", ".latents", ".log", ".progress")),
    "controlstack.ground.wording",
    *(f"controlstack.hosts{name}" for name in ("", ".host")),
    "controlstack.model_patch",
    "controlstack.nodes",
    *(f"controlstack.nodes.{name}" for name in ("drawn", "factors", "factors_within")),
    *(f"controlstack.nodes.{name}" for name in ("help_pages", "hints", "inspection")),
    *(
        f"controlstack.nodes.{name}"
        for name in ("lazy_node", "line", "own_pictures", "presets", "routes")
    ),
    *(f"controlstack.nodes.{name}" for name in ("stack", "stack_list", "sweeps", "training")),
    *(f"controlstack.nodes.{name}" for name in ("upstream", "widgets")),
}
"""The parts of the pack that ComfyUI needs at its start, those of the engine aside; the embedded
host, the command line, training, and every preprocessor come later or never."""

PROGRAM = """
import json, sys, time
{before}
known = set(sys.modules)
start = time.perf_counter()
{after}
seconds = time.perf_counter() - start
print(json.dumps([sorted(set(sys.modules) - known), seconds]))
"""


def imported(after: str, before: str = "") -> tuple[set[str], float]:
    """The modules that the statements `after` import in a fresh process, and their seconds."""
    program = PROGRAM.format(before=before, after=after)
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    names, seconds = json.loads(run.stdout)
    return set(names), seconds


def libraries(names: set[str]) -> set[str]:
    """The top-level names among modules that are not Python's own."""
    return {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)


def test_the_pack_brings_nothing_but_itself_to_torch_and_numpy() -> None:
    names, seconds = imported(
        "import controlstack as p; assert p.NODE_CLASS_MAPPINGS", "import torch"
    )
    print(f"importing controlstack after torch: {seconds:.3f} s")
    assert libraries(names) <= {"controlstack", "numpy"}  # numpy has parts that torch leaves out
    ours = {name for name in names if name.partition(".")[0] == "controlstack"}
    assert {name for name in ours if ".model_patch." not in name} == OURS


def test_every_preprocessor_is_known_without_torch() -> None:
    """The command line lists them in the time that a person waits for `--help`."""
    names, _ = imported("import controlstack.preprocessors.registry as r; assert r.PREPROCESSORS")
    assert libraries(names) == {"controlstack", "numpy"}


def test_the_first_hint_brings_opencv_and_no_more() -> None:
    after = """
from controlstack.preprocessors import registry
from controlstack.preprocessors.making import Sizing, make
for entry in registry.EXACT:
    if entry.takes == "picture":
        picture = numpy.zeros((8, 8, 3), numpy.uint8)
        make(entry, picture, entry.settings({}), Sizing((16, 16)))
"""
    names, _ = imported(after, "import numpy.random, numpy.typing")
    assert libraries(names) == {"controlstack", "cv2", "numpy"}


def test_a_plan_brings_no_library_of_networks(tmp_path: Path) -> None:
    """`controlstack plan` is to answer in a few seconds."""
    after = f"""
from controlstack.cli.app import app
try:
    app(["plan", {str(STACK)!r}, "--out", {str(tmp_path / "p.png")!r}])
except SystemExit as left:
    assert left.code == 0
sys.stdout = sys.__stdout__
"""
    names, seconds = imported(after, "import io; sys.stdout = io.StringIO()")
    print(f"a plan, torch included: {seconds:.1f} s")
    heavy = {"diffusers", "transformers", "kornia", "scipy", "torchsde", "accelerate"}
    assert not libraries(names) & heavy
    assert {"torch", "matplotlib"} <= libraries(names)


def test_to_inspect_brings_no_library_of_networks() -> None:
    """`controlstack inspect` reads a collection in the time that a person waits."""
    after = f"""
from controlstack.cli.app import app
try:
    app(["inspect", {str(STACK)!r}])
except SystemExit as left:
    assert left.code == 0
sys.stdout = sys.__stdout__
"""
    names, seconds = imported(after, "import io; sys.stdout = io.StringIO()")
    print(f"a look at a workflow, torch included: {seconds:.1f} s")
    heavy = {"diffusers", "transformers", "kornia", "scipy", "torchsde", "accelerate", "matplotlib"}
    assert not libraries(names) & heavy
