"""Lays workflows out so that wires run left to right and none crosses a node.

A node's column is the last one before those that use it; heights are searched for (simulated
annealing, seeded). The geometry is that of ComfyUI's canvas as its front end draws it: title bars
of 30 px over a node's position, sockets 20 px apart, wires as Bezier curves whose handles are a
quarter of their length. Prints what is left, and ends with 1 where something is:
python -m tools.workflow_layout workflows/*.json
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np

TITLE, SOCKET = 30, 20
GRID = 10
TOP_LEFT = (40, 110)
BETWEEN_COLUMNS, BETWEEN_NODES = 80, 40
CLEARANCE = 8
"""Pixels that a wire keeps from a node it does not belong to."""
ROUNDS = 25_000
TRIES = 6
LINE = 100
VIEW, VIEW_TOP = (1400, 800), 40
"""Pixels of a small window's canvas, and those of its bars above."""
NOTES = ("Note", "MarkdownNote")
FIRST = {"ControlStackAdd": "stack"}
"""The socket that the page draws first (web/js/slots.js), where the file has others before it."""


@dataclass(frozen=True)
class Crossing:
    """A wire (its link's id) that goes backwards, or over a node that is not at its ends."""

    link: int
    node: int | None

    def words(self, titles: Mapping[int, str]) -> str:
        """For a person."""
        what = "runs back" if self.node is None else f"crosses {titles[self.node]}"
        return f"link {self.link} {what}"


class Canvas:
    """The boxes and wires of a workflow, with heights that can be changed."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        nodes = document["nodes"]
        self.ids = [node["id"] for node in nodes]
        number = {node_id: i for i, node_id in enumerate(self.ids)}
        self.x = np.array([node["pos"][0] for node in nodes], float)
        self.y = np.array([node["pos"][1] for node in nodes], float)
        self.width = np.array([node["size"][0] for node in nodes], float)
        self.height = np.array([node["size"][1] for node in nodes], float)
        links = document["links"]
        self.links = [link[0] for link in links]
        self.start = np.array([number[link[1]] for link in links])
        self.end = np.array([number[link[3]] for link in links])
        self.out = np.array([(link[2] + 0.7) * SOCKET for link in links])
        drawn = {node["id"]: _as_drawn(node) for node in nodes}
        self.into = np.array([(drawn[link[3]].index(link[4]) + 0.7) * SOCKET for link in links])

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Both coordinates (links, points) of the wires."""
        x0 = self.x[self.start] + self.width[self.start]
        y0 = self.y[self.start] + self.out
        x1, y1 = self.x[self.end], self.y[self.end] + self.into
        handle = np.hypot(x1 - x0, y1 - y0) / 4
        t = np.linspace(0, 1, 25)
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
        across = [np.outer(v, w) for v, w in ((x0, a), (x0 + handle, b), (x1 - handle, c), (x1, d))]
        down = [np.outer(v, w) for v, w in ((y0, a + b), (y1, c + d))]
        return sum(across), sum(down)

    def over(self) -> np.ndarray:
        """How many points of each wire lie over each node (links, nodes), its own ends left out."""
        x, y = (each[:, :, None] for each in self.points())
        edge = CLEARANCE
        inside = (x > self.x - edge) & (x < self.x + self.width + edge)
        inside &= (y > self.y - TITLE - edge) & (y < self.y + self.height + edge)
        found = inside.sum(axis=1)
        rows = np.arange(len(self.links))
        found[rows, self.start] = found[rows, self.end] = 0
        return found

    def crossings(self) -> list[Crossing]:
        """What is wrong with the wires."""
        ends = self.x[self.start] + self.width[self.start] > self.x[self.end]
        back = [Crossing(self.links[i], None) for i in np.flatnonzero(ends)]
        found = np.argwhere(self.over() > 0)
        return back + [Crossing(self.links[i], self.ids[j]) for i, j in found]

    def touching(self) -> float:
        """Pixels by which nodes of one column are too near to each other, in all."""
        top, bottom = self.y - TITLE, self.y + self.height + BETWEEN_NODES - TITLE
        shared = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
        right = self.x + self.width
        beside = np.minimum(right[:, None], right) > np.maximum(self.x[:, None], self.x)
        return float((np.triu(shared, 1) * np.triu(beside, 1)).clip(0).sum())

    def cost(self) -> float:
        """Less is better: wires over nodes, nodes over nodes, slopes of wires, height."""
        y0, y1 = self.y[self.start] + self.out, self.y[self.end] + self.into
        slopes = float(np.abs(y1 - y0).sum())
        tall = float((self.y + self.height).max() - self.y.min())
        return 400 * float(self.over().sum()) + 200 * self.touching() + 0.3 * slopes + 3 * tall


def _as_drawn(node: Mapping[str, Any]) -> list[int]:
    """The numbers of the node's inputs from top to bottom."""
    inputs = list(enumerate(node["inputs"]))
    return [i for i, one in sorted(inputs, key=lambda e: e[1]["name"] != FIRST.get(node["type"]))]


def arranged(document: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """The document with other places of its nodes; notes lie below the others."""
    wired = [node for node in document["nodes"] if node["type"] not in NOTES]
    canvas = Canvas({"nodes": wired, "links": document["links"]})
    _in_columns(canvas)
    _settle(canvas, random.Random(seed))
    canvas.y += TOP_LEFT[1] - canvas.y.min()
    for node, x, y in zip(wired, canvas.x, canvas.y, strict=True):
        node["pos"] = [int(x), int(y)]
    x, y = TOP_LEFT[0], int((canvas.y + canvas.height).max()) + BETWEEN_NODES + TITLE
    for node in document["nodes"]:
        if node["type"] in NOTES:
            node["pos"] = [x, y]
            x += node["size"][0] + BETWEEN_COLUMNS
    document["extra"]["ds"] = _whole(document["nodes"])
    return document


def _whole(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The canvas's scale and offset at which all nodes are seen: front ends draw pictures on those
    alone, and some open a file as it was left."""
    right = max(node["pos"][0] + node["size"][0] for node in nodes) + TOP_LEFT[0]
    bottom = max(node["pos"][1] + node["size"][1] for node in nodes) + TOP_LEFT[0]
    scale = min(VIEW[0] / right, VIEW[1] / bottom, 1.0)
    return {"scale": round(scale, 3), "offset": [0, round(VIEW_TOP / scale)]}


def _in_columns(canvas: Canvas) -> None:
    """Each node in the last column before those that use it; one that nobody uses, in the first
    after those that it uses."""
    before = dict[int, set[int]]((i, set()) for i in range(len(canvas.ids)))
    for start, end in zip(canvas.start.tolist(), canvas.end.tolist(), strict=True):
        before[end].add(start)
    order = list(TopologicalSorter(before).static_order())
    column = [0] * len(order)
    for node in order:
        column[node] = max((column[one] + 1 for one in before[node]), default=0)
    users = {i: [j for j in order if i in before[j]] for i in order}
    for node in reversed(order):
        if users[node]:
            column[node] = min(column[one] for one in users[node]) - 1
    left = float(TOP_LEFT[0])
    for number in range(max(column) + 1):
        members = [node for node in order if column[node] == number]
        canvas.x[members] = left
        left += float(canvas.width[members].max()) + BETWEEN_COLUMNS


def _settle(canvas: Canvas, chance: random.Random) -> None:
    cost = best = canvas.cost()
    kept = canvas.y.copy()
    for turn in range(ROUNDS):
        heat = 2000.0 * (1 - turn / ROUNDS) ** 3 + 1
        before = canvas.y.copy()
        node = chance.randrange(len(canvas.y))
        if chance.random() < 0.25:
            other = chance.randrange(len(canvas.y))
            canvas.y[[node, other]] = canvas.y[[other, node]]
        else:
            reach = chance.choice((20, 100, 600))
            canvas.y[node] += GRID * round(chance.uniform(-reach, reach) / GRID)
        new = canvas.cost()
        if new < cost or chance.random() < math.exp((cost - new) / heat):
            cost = new
            if cost < best:
                best, kept = cost, canvas.y.copy()
        else:
            canvas.y = before
    canvas.y = kept


def main(paths: Sequence[str]) -> int:
    """Arrange the files; returns how many wires are still wrong."""
    wrong = 0
    for path in map(Path, paths):
        read = path.read_text("utf-8")
        tries = [arranged(json.loads(read), seed) for seed in range(TRIES)]
        document = min(tries, key=_worth)
        left = Canvas(document).crossings()
        titles = {n["id"]: n.get("title") or n["type"] for n in document["nodes"]}
        path.write_text(compact(document), "utf-8")
        print(path, *(crossing.words(titles) for crossing in left), sep="\n  ")
        wrong += len(left)
    return wrong


def _worth(document: Mapping[str, Any]) -> tuple[int, float]:
    canvas = Canvas(document)
    return len(canvas.crossings()), canvas.cost()


def compact(value: Any, depth: int = 0) -> str:
    """JSON as the workflows are kept: what fits into a line is on one."""
    short = json.dumps(value, ensure_ascii=False)
    inner, outer = "  " * (depth + 1), "  " * depth
    if depth and (len(short) <= LINE or not isinstance(value, (dict, list))):
        return short
    if isinstance(value, dict):
        rows = [f"{inner}{json.dumps(k)}: {compact(v, depth + 1)}" for k, v in value.items()]
        text = "{\n" + ",\n".join(rows) + f"\n{outer}}}"
    else:
        text = "[\n" + ",\n".join(inner + compact(v, depth + 1) for v in value) + f"\n{outer}]"
    return text if depth else text + "\n"


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
