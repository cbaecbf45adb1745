"""What no line of our source may do: read a file in a way that runs what is in it, or speak past
the one place where words are made safe for a terminal.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OUTSIDE = {"tests", "build", "docs"}
"""Folders that hold no source of ours, or tests, which make bad files themselves."""
NEVER = {"pickle.load", "pickle.loads", "marshal.loads", "yaml.load", "eval", "exec"}
"""Calls that run what they read."""


def sources() -> Iterator[Path]:
    """The package's files and the benchmarks'."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        if parts[0] not in OUTSIDE and not parts[0].startswith("."):
            yield path


def unsafe(text: str) -> list[str]:
    """The calls in `text` that may run what a file holds, with their lines."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if (
            called in NEVER
            or (called == "torch.load" and options.get("weights_only") != "True")
            or options.get("allow_pickle", "False") != "False"
            or options.get("weights_only", "True") != "True"
        ):
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def test_no_file_can_run_anything() -> None:
    found = {str(path): calls for path in sources() if (calls := unsafe(path.read_text("utf-8")))}
    assert found == {}


SPEAKERS = {"cli/say.py": {"print", "console.print"}, "cli/train_watch.py": {"console.print"}}
"""Files that may speak, and how: the second prints above its bar, by `say.literal`."""


def spoken(text: str) -> set[str]:
    """The ways in which `text` writes on the terminal."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    called = {".".join(ast.unparse(call.func).split(".")[-2:]) for call in calls}
    return {name for name in called if name.split(".")[-1] in {"print", "echo", "secho"}} | {
        name for name in called if name in {"stdout.write", "stderr.write", "traceback.print_exc"}
    }


def test_words_go_through_one_place() -> None:
    package = [path for path in sources() if not {"benchmarks", "tools"} & set(path.parts)]
    found = {
        path.relative_to(ROOT).as_posix(): ways
        for path in package
        if (ways := spoken(path.read_text("utf-8")))
    }
    assert found == SPEAKERS


def test_the_source_is_looked_at() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in sources()}
    assert {"__init__.py", "demo/build.py", "benchmarks/paper/world.py", "cli/main.py"} <= names


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "load(path, weights_only=flag)",
        "np.load(path, allow_pickle=True)",
        "pickle.loads(data)",
        "yaml.load(text)",
        "eval(text)",
        "exec(text, {})",
    ],
)
def test_a_line_that_could_is_found(line: str) -> None:
    assert unsafe(f"x = 1\n{line}\n") == [f"2: {line}"]
