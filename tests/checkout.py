"""The pack as somebody else gets it: what git tracks, and what ComfyUI's registry is given."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def copy_tracked(destination: Path) -> Path:
    """Copy the tracked files, as they are now, into the new folder `destination`."""
    listed = _run("git", "ls-files", "-z", cwd=ROOT).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # a file may be deleted and not yet committed
            target = destination / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return destination


def comfy_cli() -> str | None:
    """ComfyUI's own command line, `comfy`: beside this Python or on the path, if installed."""
    beside = Path(sys.executable).parent
    return shutil.which("comfy", path=os.pathsep.join([str(beside), os.environ.get("PATH", "")]))


def fresh_repository(folder: Path) -> Path:
    """A new git repository of the tracked files in the new `folder`."""
    copy_tracked(folder)
    _run("git", "init", "--quiet", cwd=folder)
    _run("git", "add", "--all", cwd=folder)
    return folder


def comfy_node(command: str, repository: Path) -> str:
    """What `comfy node ...` says in `repository`."""
    executable = comfy_cli()
    assert executable is not None, "skip the test where comfy_cli() is None"
    arguments = ("--skip-prompt", "--no-enable-telemetry", "node", command)
    settings = {"HOME": str(repository.parent), "DO_NOT_TRACK": "1"}
    run = _run(executable, *arguments, cwd=repository, env={**os.environ, **settings})
    return run.stdout + run.stderr


def _run(
    *command: str, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    run = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert run.returncode == 0, f"{' '.join(command)}\n{run.stdout}{run.stderr}"
    return run
