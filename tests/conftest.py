"""One thread a test process: tensors are tiny here, and workers run side by side on few cores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the command-line tests' child processes
torch.set_num_threads(1)

SLOW = {
    *("cli/test_commands.py", "cli/test_evaluate.py", "cli/test_frame.py"),
    *("cli/test_hint_learned.py", "cli/test_run_pictures.py", "cli/test_train.py"),
    "cli/test_serve.py",
    "conversion/test_pictures.py",
    *("cli/test_train_control_lora.py", "cli/test_transfer_command.py"),
    *("demo/test_build.py", "demo/test_sheet.py", "demo/test_weights.py"),
    "ground/test_workers.py",
    *("headless/graph/test_fuzz.py", "headless/graph/test_fuzz_workflows.py"),
    *("headless/models/test_fuzz.py", "headless/models/test_fuzz_loading.py"),
    *("headless/models/test_gguf.py", "headless/pack_nodes/test_gguf_loaders.py"),
    *("headless/models/test_loading.py", "headless/models/test_lora.py"),
    "headless/models/test_t2i_adapter.py",
    *("headless/server/test_endurance.py", "headless/server/test_files.py"),
    *("headless/server/test_guard.py", "headless/server/test_in_the_browser.py"),
    "headless/server/test_prompts.py",
    *("headless/test_golden.py", "headless/test_training_base.py"),
    "hosts/test_host.py",
    *("model_patch/test_caches.py", "model_patch/test_compiled.py"),
    *("model_patch/test_patch.py", "paper/test_gpu.py"),
    *("model_patch/test_patch_areas.py", "model_patch/test_patch_refusals.py"),
    "model_patch/test_two_runs.py",
    *("nodes/test_train_graph.py", "nodes/test_train_nodes.py"),
    "paper/test_paper.py",
    *("preprocessors/learned/test_annotators.py", "preprocessors/learned/test_depth.py"),
    *("preprocessors/learned/test_hed.py", "preprocessors/learned/test_networks.py"),
    "preprocessors/learned/test_normal_bae.py",
    *("preprocessors/learned/test_openpose.py", "preprocessors/learned/test_segment.py"),
    "preprocessors/learned/test_vitpose.py",
    "preprocessors/sheet/test_sheet.py",
    *("preprocessors/test_any_picture.py", "preprocessors/test_picture_files.py"),
    "preprocessors/test_pose_photos.py",
    *("test_imports.py", "test_packaging.py", "test_parallel_runs.py"),
    "training/data/test_training_data.py",
    "training/test_compiled.py",
    *("training/test_control_lora.py", "training/test_control_net.py", "training/test_damage.py"),
    *("training/test_export.py", "training/test_killed.py", "training/test_plots.py"),
    *("training/test_processes.py", "training/test_resume.py"),
    *("training/test_run_files.py", "training/test_sampling.py"),
    *("training/test_transfer.py", "training/test_validation.py"),
    *("workflows/test_exchange.py", "workflows/test_shipped.py"),
    *("workflows/test_mask_on_demo.py", "workflows/test_templates.py"),
}
"""Files of more than about 3 s on an idle core (they train, sample, load libraries or start
processes): what `make test-fast` leaves out.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow files in one place."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).as_posix() in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def same_chance() -> None:
    """Networks drawn by a test are the same, whatever ran before it."""
    torch.manual_seed(0)
