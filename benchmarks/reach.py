"""How far the embedded host and the conversion reach, over a collection of shared workflows.

Of each workflow: does it run here, with its files? And of those with apply nodes of ComfyUI's or
of Advanced-ControlNet's: do all of their chains become a ControlNet Stack, and if not, why?

Run: python -m benchmarks.reach [FILE, FOLDER OR GLOB ...]
Without a name: the workflows of this repository, and of `comfyui-workflow-templates` where it is
installed.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from controlstack.conversion.convert import convert
from controlstack.conversion.prompts import APPLIES
from controlstack.ground.errors import UserError
from controlstack.ground.inputs import find_inputs
from controlstack.headless import folders, host
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import read_document, read_saved
from controlstack.headless.overview.overview import Overview, nothing_of, overview_of
from controlstack.headless.overview.reach import WORDS, pack_words, reach_of

ROOT = Path(__file__).parents[1]
NOTHING = Path("nowhere")
NOWHERE = folders.Folders((NOTHING,), (NOTHING,), NOTHING, NOTHING)


def collections(names: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """The files by what they are called in the tables."""
    if names:
        return {" ".join(names): find_inputs(names, {".json", ".png"}).files}
    found = {"workflows/": tuple(sorted((ROOT / "workflows").glob("*.json")))}
    package = importlib.util.find_spec("comfyui_workflow_templates")
    if package is not None and package.origin is not None:
        files = sorted((Path(package.origin).parent / "templates").glob("*.json"))
        found["comfyui-workflow-templates"] = tuple(files)
    return found


def looked_at(file: Path) -> Overview:
    """What there is to say of a file, without models and pictures."""
    with host.use(NOWHERE):
        try:
            return overview_of(read_document(file), default_registry())
        except UserError as error:
            return nothing_of(str(file), error)


def converted(files: Sequence[Path]) -> tuple[Counter[str], Counter[str]]:
    """How far the chains of apply nodes convert: counts of files, and of what is in the way."""
    counts, reasons = Counter[str](), Counter[str]()
    for file in files:
        try:
            document = read_saved(file)
            if not any(f'"{kind}"' in file.read_text("utf-8", "ignore") for kind in APPLIES):
                continue
            found = convert(document)
        except UserError:
            continue
        if not found.done and not found.left:
            counts["only in what is muted"] += 1
            continue
        whole = "whole" if not found.left else "in part" if found.done else "not at all"
        counts[whole] += 1
        reasons.update(_reason(line) for line in found.left)
    return counts, reasons


def _reason(line: str) -> str:
    """A sentence of the conversion without what is the file's own."""
    why = line.split("stay as they are: ", 1)[-1]
    return re.sub(r"node \S+ \([^)]*\)", "a node", why)


def main() -> None:
    """Print both tables for each collection."""
    for name, files in collections(sys.argv[1:]).items():
        reach = reach_of([one for one in map(looked_at, files) if one.status != "none"])
        print(f"{name}: {reach.total} workflows")
        for status, count in reach.statuses.items():
            print(f"  {count:4} {WORDS[status]}")
        for pack, one in list(reach.packs.items())[:8]:
            first = ", ".join(f"{kind} {count}" for kind, count in list(one.types.items())[:6])
            print(f"  lacking of {pack_words(pack)} in {one.workflows}: {first}")
        counts, reasons = converted(files)
        print(f"  apply nodes in {counts.total()}, converted: {dict(counts)}")
        for reason, count in reasons.most_common():
            print(f"    {count:4} {reason}")


if __name__ == "__main__":
    main()
