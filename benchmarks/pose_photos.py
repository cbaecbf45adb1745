"""Poses found in photos, beside joints placed by hand, and in the demo's drawn people.

Figures are those of `controlstack evaluate`: PCK@0.1, OKS and people too many. PCK of several
photos is that of all their joints. Hands and faces have no partner of their own: the nearest one
found counts. Photos and joints are told about in tests/photos/README.md. Variants are the same
photos turned, mirrored and resized, and those of one whole person as the middle of larger grey
pictures, with their joints.

Run: python -m benchmarks.pose_photos [NAME ...] [--models DIR] [--scenes N] [--variants]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
import numpy.typing as npt
from PIL import Image

from controlstack.demo.scenes import pose_json, sample_scene
from controlstack.demo.scenes_draw import draw_scene
from controlstack.evaluation.joints import body_size, pck
from controlstack.evaluation.people import REACH, paired, pose_agreement
from controlstack.ground.errors import UserError
from controlstack.preprocessors.making import Sizing, make
from controlstack.preprocessors.pose.people import JOINTS, Person, Points, Pose, parse_poses
from controlstack.preprocessors.ready import InFolders, KeptModel
from controlstack.preprocessors.registry import PREPROCESSORS
from controlstack.preprocessors.spec import Preprocessor

PHOTOS = Path(__file__).parents[1] / "tests" / "photos"
SCENES = range(1_000_000, 1_000_200)
"""Seeds of the demo's scenes; the first 64 are its held-out ones."""
SCENE_EDGE = 512
"""What scenes, 128 px, are enlarged to."""

Picture = npt.NDArray[np.uint8]
Find = Callable[[Picture], Pose]
"""Picture (h, w, 3) -> the people in it, in its pixels."""
Move = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Photo:
    """A picture, uint8 RGB (h, w, 3), and the people in it as they were marked, in its pixels."""

    name: str
    picture: Picture
    wanted: Pose


@dataclass(frozen=True)
class Score:
    """What was found in one photo. `pck` and `oks` are in 0..1, of `joints` wanted joints of
    `people`; `found` people. `hands` and `faces`: PCK of each hand and face that is wanted.
    `apart`: of each wanted joint its number in OpenPose's order, and how far from it the found one
    is, in longer sides of the body; NaN where none was found.
    """

    name: str
    pck: float
    oks: float
    joints: int
    people: int
    found: int
    seconds: float
    hands: tuple[float, ...]
    faces: tuple[float, ...]
    apart: tuple[tuple[int, float], ...]


def photos(folder: Path = PHOTOS) -> list[Photo]:
    """The photos of a folder that have a JSON beside them, by name."""
    read = []
    for path in sorted(folder.glob("*.json")):
        (wanted,) = parse_poses(path.read_text(encoding="utf-8"))
        with Image.open(path.with_suffix(".jpg")) as image:
            read.append(Photo(path.stem, np.asarray(image.convert("RGB")), wanted))
    return read


def scenes(seeds: Sequence[int] = SCENES, edge: int = SCENE_EDGE) -> Iterator[Photo]:
    """The demo's scenes with a person, enlarged to edge x edge."""
    for seed in seeds:
        scene = sample_scene(seed, person=True)
        assert scene.person is not None
        (wanted,) = parse_poses(pose_json(scene.person))
        image = Image.fromarray(draw_scene(scene).rgb)
        yield resized(Photo(str(seed), np.asarray(image), wanted), edge / image.width)


def resized(photo: Photo, times: float) -> Photo:
    """`photo` made larger or smaller, and its joints with it."""
    high, wide = photo.picture.shape[:2]
    size = (round(wide * times), round(high * times))
    image = Image.fromarray(photo.picture).resize(size, Image.Resampling.LANCZOS)
    across, down = size[0] / wide, size[1] / high
    return _moved(photo, np.asarray(image), lambda x, y: (x * across, y * down))


def turned(photo: Photo, quarters: int) -> Photo:
    """`photo` turned to the left by so many quarters."""
    high, wide = photo.picture.shape[:2]
    moves: list[Move] = [
        lambda x, y: (x, y),
        lambda x, y: (y, wide - x),
        lambda x, y: (wide - x, high - y),
        lambda x, y: (high - y, x),
    ]
    return _moved(photo, np.rot90(photo.picture, quarters), moves[quarters % 4])


def framed(photo: Photo, times: int) -> Photo:
    """`photo` in the middle of a grey canvas whose sides are `times` as long."""
    high, wide = photo.picture.shape[:2]
    left, top = wide * (times - 1) // 2, high * (times - 1) // 2
    canvas = np.full((high * times, wide * times, 3), 128, np.uint8)
    canvas[top : top + high, left : left + wide] = photo.picture
    return _moved(photo, canvas, lambda x, y: (left + x, top + y))


def mirrored(photo: Photo) -> Photo:
    """`photo` in a mirror: left is right, in the joints too."""
    wide = photo.picture.shape[1]
    seen = _moved(photo, photo.picture[:, ::-1], lambda x, y: (wide - x, y))
    return replace(
        seen, wanted=replace(seen.wanted, people=tuple(map(_swapped, seen.wanted.people)))
    )


SWAPPED = (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16)
"""Which of the 18 joints is each one's in a mirror."""


def _swapped(person: Person) -> Person:
    body = tuple(person.body[joint] for joint in SWAPPED)
    # A face's points would have to be swapped as well, and are not needed here.
    return Person(body, person.right_hand, person.left_hand)


VARIANTS: Mapping[str, Callable[[Photo], Photo]] = {
    "turned by 90": lambda photo: turned(photo, 1),
    "turned by 180": lambda photo: turned(photo, 2),
    "turned by 270": lambda photo: turned(photo, 3),
    "mirrored": mirrored,
    "half the size": lambda photo: resized(photo, 0.5),
    "twice the size": lambda photo: resized(photo, 2),
    "four times": lambda photo: resized(photo, 4),
}


FRAMES = (1, 2, 3, 4, 6, 8)
"""How much longer the sides of the pictures are in which whole people are looked for."""


def is_whole(photo: Photo) -> bool:
    """Whether it shows one person, from the shoulders to an ankle."""
    if len(photo.wanted.people) > 1:
        return False
    body = photo.wanted.people[0].body
    return any(body[joint] for joint in (2, 5)) and any(body[joint] for joint in (10, 13))


def part_of(photo: Photo) -> float:
    """The longer side of the first body, as a part of the picture's."""
    body = body_size(_points(photo.wanted.people[0].body))
    return body / max(photo.picture.shape)


def _moved(photo: Photo, picture: Picture, move: Move) -> Photo:
    def points(given: Points) -> Points:
        places = ((p, *move(p.x, p.y)) if p else (None, 0, 0) for p in given)
        return tuple(p and replace(p, x=x, y=y) for p, x, y in places)

    people = tuple(
        Person(*map(points, (p.body, p.left_hand, p.right_hand, p.face, p.feet)))
        for p in photo.wanted.people
    )
    canvas = (float(picture.shape[1]), float(picture.shape[0]))
    return Photo(photo.name, np.ascontiguousarray(picture), Pose(people, canvas))


def finder(entry: Preprocessor, models: Sequence[Path] = ()) -> Find:
    """A preprocessor of poses with its defaults and the first of its models in `models`.

    Raises UserError where its weights are not on this machine.
    """
    loaded = KeptModel().ready(entry, "", False, InFolders(models))

    def find(picture: Picture) -> Pose:
        made = make(entry, picture, entry.settings({}), Sizing(), loaded)
        assert made.pose is not None
        return made.pose

    return find


def score(photo: Photo, find: Find) -> Score:
    """What `find` finds in `photo` beside what is there."""
    start = time.perf_counter()
    found = find(photo.picture)
    took = time.perf_counter() - start
    agreement = pose_agreement(found, photo.wanted)
    joints = sum(joint is not None for person in photo.wanted.people for joint in person.body)
    return Score(
        photo.name,
        agreement.pck,
        agreement.oks,
        joints,
        len(photo.wanted.people),
        len(found.people),
        took,
        _parts(found, photo.wanted, "right_hand") + _parts(found, photo.wanted, "left_hand"),
        _parts(found, photo.wanted, "face"),
        _apart(found, photo.wanted),
    )


def _apart(found: Pose, wanted: Pose) -> tuple[tuple[int, float], ...]:
    """`Score.apart`."""
    rows = []
    for one, body in paired(found, wanted):
        away = np.linalg.norm(one - body, axis=1) / max(body_size(body), 1.0)
        rows += [(joint, float(away[joint])) for joint in np.flatnonzero(~np.isnan(body[:, 0]))]
    return tuple(rows)


def _parts(found: Pose, wanted: Pose, field: str) -> tuple[float, ...]:
    """PCK of each part of one kind that is wanted, of those found the one that is nearest."""
    there = [_points(getattr(person, field)) for person in found.people]
    asked = [_points(getattr(person, field)) for person in wanted.people]
    return tuple(
        max((pck(one, part, REACH * body_size(part)) for one in there), default=0.0)
        for part in asked
        if not np.isnan(part).all()
    )


def _points(points: Points) -> npt.NDArray[np.float32]:
    return np.array([(p.x, p.y) if p else (np.nan, np.nan) for p in points], np.float32)


def together(rows: Sequence[Score], name: str = "together") -> Score:
    """All photos as one: PCK of all joints, OKS of all people."""
    joints, people = np.array([(row.joints, row.people) for row in rows]).T
    return Score(
        name,
        float(np.average([row.pck for row in rows], weights=joints)),
        float(np.average([row.oks for row in rows], weights=people)),
        int(joints.sum()),
        int(people.sum()),
        sum(row.found for row in rows),
        float(np.median([row.seconds for row in rows])),
        sum((row.hands for row in rows), ()),
        sum((row.faces for row in rows), ()),
        sum((row.apart for row in rows), ()),
    )


def by_joint(row: Score) -> str:
    """A line of PCK by kind of joint, and one of how far off those that were found are."""
    kinds = dict.fromkeys(JOINTS[joint].split()[-1] for joint in range(len(JOINTS)))
    of = {kind: [d for j, d in row.apart if JOINTS[j].endswith(kind)] for kind in kinds}
    near = "".join(f"  {kind} {np.mean(np.array(d) <= REACH):.2f}" for kind, d in of.items())
    away = np.array([d for _, d in row.apart if not np.isnan(d)])
    middle, most = np.percentile(away, (50, 90))
    return (
        f"PCK by joint:{near}\n{len(away)} joints found; half of them within {middle:.1%} of the "
        f"body's longer side, nine of ten within {most:.1%}"
    )


def line(row: Score) -> str:
    """A row of the table."""
    parts = "".join(
        f"{np.mean(part):8.3f}" if part else f"{'-':>8}" for part in (row.hands, row.faces)
    )
    return (
        f"{row.name:16}{row.people:7}{row.found:7}{row.joints:8}{row.pck:8.3f}{row.oks:8.3f}"
        f"{parts}{row.seconds * 1e3:9.0f}"
    )


HEAD = (
    f"{'':16}{'people':>7}{'found':>7}{'joints':>8}{'PCK':>8}{'OKS':>8}{'hands':>8}{'faces':>8}"
    f"{'ms':>9}"
)


def main() -> None:
    """Print the tables of all preprocessors that have their weights, or of those named."""
    there = {name: entry for name, entry in PREPROCESSORS.items() if entry.finds_people}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(there)}")
    parser.add_argument("--models", type=Path, nargs="+", default=[Path("models")])
    parser.add_argument("--scenes", type=int, default=len(SCENES))
    parser.add_argument("--variants", action="store_true")
    given = parser.parse_args()
    for name in given.names or there:
        try:
            find = finder(there[name], given.models)
        except UserError as error:
            print(f"{name}: left out: {error}\n")
            continue
        taken = photos()
        find(taken[0].picture)  # warms up
        print(f"{name}\n{HEAD}")
        rows = [score(photo, find) for photo in taken]
        print("\n".join(map(line, [*rows, together(rows)])), by_joint(together(rows)), sep="\n")
        if given.variants:
            for what, change in VARIANTS.items():
                print(line(together([score(change(photo), find) for photo in taken], what)))
            for times in FRAMES:
                small = [framed(photo, times) for photo in taken if is_whole(photo)]
                part = float(np.mean([part_of(photo) for photo in small]))
                print(line(together([score(photo, find) for photo in small], f"size {part:.2f}")))
        if given.scenes:
            drawn = [score(scene, find) for scene in scenes(SCENES[: given.scenes])]
            print(line(together(drawn, f"{given.scenes} demo scenes")))
            some = sum(row.found > 0 for row in drawn)
            print(f"a person is found in {some} of {given.scenes} scenes\n")


if __name__ == "__main__":
    main()
