"""The contact sheet: the shipped stack workflow, run once a cell on the embedded host, and scored.

Fixed scenes and seeds, every picture shown: nothing is chosen after the fact.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from PIL import Image

from ..evaluation.joint_reader import JointReader, load_reader
from ..ground import ours
from ..ground.contact_sheet import Cell, Row, draw_sheet
from ..ground.progress import Steps
from ..ground.reporter import reporter
from ..ground.threads import one_thread
from ..headless import folders, host
from ..headless.graph.execute import Executor, Results
from ..headless.graph.override import override
from ..headless.graph.registry import default_registry
from ..headless.graph.validate import validate
from ..headless.graph.workflow import load_workflow
from ..preprocessors.sheet.files import encode_ours
from .models import require_weights
from .scenes import SHEET_SEEDS, pose_json
from .score import READER, Picture, Score, Task, score, tasks
from .score_host import pixels_of
from .suiting import sized, standing

TITLE = "ControlStack"
SUBTITLE = "One locked U-Net, steered by nothing, by a pose, by a depth map, and by both, stacked."

WORKFLOW = Path(__file__).parent.parent / "workflows" / "stack_pose_depth.json"
POSE, DEPTH, PROMPT = "Pose from OpenPose JSON", "A depth map, near is white", "Prompt"
ADD_POSE, ADD_DEPTH = "Add pose", "Add depth"
SAMPLER, DECODER = "KSampler", "VAEDecode"
"""Titles of WORKFLOW's nodes."""


COLUMNS: Mapping[str, tuple[str, ...]] = {
    "No control": (),
    "Pose alone": ("pose",),
    "Depth alone": ("depth",),
    "Pose + depth": ("pose", "depth"),
}
"""Label -> the hints to stack; the others' strength is 0."""


@dataclass(frozen=True)
class Result:
    """A column: the means over its pictures, and the seconds that sampling one took."""

    label: str
    score: Score
    seconds: float


def make_sheet(
    out: Path, seeds: Sequence[int] = SHEET_SEEDS, overwrite: bool = False
) -> list[Result]:
    """Write a sheet with a row for each scene of `seeds` to `out` (PNG); a result for each column.

    A scene's seed is also its pictures'. Raises UserError at once for an `out` that cannot be
    written or is in the way (`ground.ours`), and where there are no demo models.
    """
    require_weights()
    files = ours.Results([], overwrite)
    files.expect(out)
    reader = load_reader(READER)
    of = tasks(person=True, seeds=seeds)
    with tempfile.TemporaryDirectory(prefix="controlstack-") as scratch:
        workflow = _StackWorkflow(Path(scratch))
        with one_thread(), reporter().steps(len(of) * len(COLUMNS), "pictures") as progress:
            rows = [_pictures(workflow, task, progress) for task in of]
    labels = ["Pose", "Depth", *COLUMNS]
    page = [_row(task, runs, reader) for task, runs in zip(of, rows, strict=True)]
    files.write(out, encode_ours(draw_sheet(TITLE, SUBTITLE, labels, page), optimize=True))
    return [
        Result(label, _score(of, runs, reader), fmean(run.seconds for run in runs))
        for label, runs in zip(COLUMNS, zip(*rows, strict=True), strict=True)
    ]


def _pictures(workflow: _StackWorkflow, task: Task, progress: Steps) -> list[_Run]:
    runs = []
    for stack in COLUMNS.values():
        runs.append(workflow.run(task, stack))
        progress.advance()
    return runs


def _score(of: Sequence[Task], runs: Sequence[_Run], reader: JointReader) -> Score:
    """The means over pictures that are there already."""
    return score(lambda *_: [run.picture for run in runs], (), of, reader)


@dataclass(frozen=True)
class _Run:
    """The two hints and the picture (uint8 RGB, 128 x 128 x 3), and how long sampling took."""

    pose: Picture
    depth: Picture
    picture: Picture
    seconds: float


class _StackWorkflow:
    """WORKFLOW at the demo model's size; models stay loaded from run to run."""

    def __init__(self, scratch: Path) -> None:
        self._registry = default_registry()
        graph = load_workflow(WORKFLOW, self._registry)
        self._graph, _ = sized(graph, self._registry)
        self._ids = {node.title: node.id for node in graph.nodes.values()}
        self._executor = Executor(self._registry)
        self._scratch = scratch
        stands = standing([graph], self._registry).aliases
        self._folders = folders.Folders(
            models=(), input=(scratch,), output=scratch, temp=scratch, aliases=stands
        )

    def run(self, task: Task, stack: tuple[str, ...]) -> _Run:
        """The task's picture, with the controls that `stack` names."""
        depth_file = f"depth_{task.seed}.png"
        Image.fromarray(task.hints["depth"]).save(self._scratch / depth_file)
        results = self._execute(
            {
                f"{PROMPT}.text": task.prompt,
                f"{POSE}.pose_json": json.dumps(_pose(task)),
                f"{DEPTH}.image": depth_file,
                f"{ADD_POSE}.strength": str(int("pose" in stack)),
                f"{ADD_DEPTH}.strength": str(int("depth" in stack)),
                f"{SAMPLER}.seed": str(task.seed),
            }
        )
        titles = (POSE, DEPTH, DECODER)
        pose, depth, picture = (pixels_of(results, self._ids[title]) for title in titles)
        return _Run(pose, depth, picture, results.seconds[self._ids[SAMPLER]])

    def _execute(self, values: Mapping[str, str]) -> Results:
        with host.use(self._folders):
            graph = self._graph
            for target, value in values.items():
                graph = override(graph, self._registry, target, value)
            validate(graph, self._registry)
            return self._executor.run(graph)


def _pose(task: Task) -> dict[str, object]:
    person = task.scene.person
    return pose_json(person) if person is not None else {"people": []}


def _row(task: Task, runs: Sequence[_Run], reader: JointReader) -> Row:
    hints = (Cell(Image.fromarray(runs[0].pose)), Cell(Image.fromarray(runs[0].depth)))
    pictures = (
        Cell(Image.fromarray(run.picture), _note(_score([task], [run], reader))) for run in runs
    )
    return Row((*hints, *pictures), f"{task.prompt}  ·  seed {task.seed}")


def _note(found: Score) -> str:
    return f"joints {found.joints:.0%}  ·  silhouette {found.silhouette_iou:.2f}"
