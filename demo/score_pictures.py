"""The demo's score on held-out scenes, and the pictures that were scored, as `controlstack
evaluate` takes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..evaluation.joint_reader import load_reader
from ..ground.errors import UserError
from ..ground.places import require_place
from ..ground.reporter import reporter
from .scenes import HELD_OUT_SEEDS
from .score import READER, TABLE, Generate, Picture, Score, Task, score, tasks

PROMPTS = "prompts.json"


@dataclass(frozen=True)
class Line:
    """The score of one stack (its kinds' names, "none" without any) on one set of scenes."""

    scenes: str
    stack: str
    score: Score


def lines(generate: Generate, count: int, out: Path | None = None) -> Iterator[Line]:
    """Every line of the demo's TABLE on the first `count` held-out scenes.

    With `out`, that folder is given for each set of scenes the pictures of each stack, the hints
    of each kind, and the prompts: `all/canny/1000000.png`, `all/hints/canny/1000000.png`,
    `all/prompts.json`. Raises UserError where there are not as many scenes, and where `out` cannot
    be written.
    """
    if count > len(HELD_OUT_SEEDS):
        raise UserError(f"There are {len(HELD_OUT_SEEDS)} held-out scenes; ask for at most those.")
    if out is not None:
        require_place(out, "the folder for the pictures", folder=True)
    reader = load_reader(READER)
    for scenes, (person, stacks) in TABLE.items():
        these = tasks(person, HELD_OUT_SEEDS[:count])
        if out is not None:
            _save_hints(these, out / scenes)
        for stack in stacks:
            name = "+".join(stack) or "none"
            kept = _Kept(generate, out / scenes / name) if out is not None else generate
            yield Line(scenes, name, score(kept, stack, these, reader))


@dataclass(frozen=True)
class _Kept:
    """Makes pictures as `generate` does, and keeps each in `folder`."""

    generate: Generate
    folder: Path

    def __call__(self, of: Sequence[Task], stack: tuple[str, ...]) -> Iterator[Picture]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with reporter().steps(len(of), " + ".join(stack) or "no control") as bar:
            for task, picture in zip(of, self.generate(of, stack), strict=True):
                Image.fromarray(picture).save(self.folder / f"{task.seed}.png")
                bar.advance()
                yield picture


def _save_hints(these: Sequence[Task], folder: Path) -> None:
    for task in these:
        for kind, hint in task.hints.items():
            path = folder / "hints" / kind / f"{task.seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(hint).save(path)
    prompts = {str(task.seed): task.prompt for task in these}
    (folder / PROMPTS).write_text(json.dumps(prompts, indent=1), encoding="utf-8")
