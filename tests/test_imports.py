"""ComfyUI imports the pack at every start: that must cost next to nothing and pull nothing in."""

import json
import subprocess
import sys

HEAVY = {
    "diffusers",
    "transformers",
    "cv2",
    "controlnet_aux",
    "scipy",
    "kornia",
    "typer",
    "rich",
}
MEASURE = """
import json, sys, time
import torch
before = set(sys.modules)
start = time.perf_counter()
import controlstack
seconds = time.perf_counter() - start
nodes = sorted(controlstack.NODE_CLASS_MAPPINGS)
new = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
print(json.dumps({"seconds": seconds, "new": new, "nodes": nodes}))
"""


def test_importing_the_pack_after_torch_loads_no_heavy_library() -> None:
    run = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, timeout=120
    )
    found = json.loads(run.stdout)
    print(f"importing controlstack after torch: {found['seconds']:.3f} s")
    assert found["nodes"], "the node mappings are what ComfyUI imports the pack for"
    assert not HEAVY & set(found["new"])
