"""The shipped workflows by what can run them."""

from pathlib import Path

WORKFLOWS = Path(__file__).parents[2] / "workflows"

FAMILIES = (
    *("flux_canny_dev", "flux_union", "ltx_ic_lora", "qwen_edit_pose", "qwen_image_diffsynth"),
    *("sdxl_union_promax", "wan_fun_control", "wan_vace", "z_image_fun"),
)
"""Of other models than SD 1.5. SDXL's runs without ComfyUI, too: tests/headless/server does it."""

ALL = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
TRAINING = ("train",)
"""Needs pictures to learn from, which people bring."""

DEMO = [name for name in ALL if name not in (*FAMILIES, *TRAINING)]
"""Those that run in both hosts, on the demo model."""

SINKS = ("SaveImage", "PreviewImage")
"""Core nodes that give their pictures on since 0.33; files saved before have no such output."""
