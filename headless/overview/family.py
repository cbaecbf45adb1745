"""Which family of base models a workflow is made for: by a file's header, else by names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ...ground.wording import shown
from ..graph.model import Graph, Node
from ..graph.problems import Problem
from ..planning.files import FLUX, SD_3, told_by_header
from ..planning.values import Model
from .files import ModelFile

SD_1, SD_2, SDXL = "Stable Diffusion 1.x", "Stable Diffusion 2.x", "SDXL"
HERE = frozenset({SD_1, SD_2, SDXL})
"""The families that the embedded host samples."""

# Models that many workflows name and whose names do not say it.
_OF_SD_1 = (
    r"dreamshaper_?[3-8]|realisticvision|revanimated|deliberate|anything[-_ ]?v[345]|epicrealism"
    r"|majicmix|counterfeit|meinamix|absolutereality|cyberrealistic|toonyou|ghostmix"
)

# The first that fits: "sd3.5_large_turbo", "flux1-dev", "ponyDiffusionV6XL", "v1-5-pruned-emaonly".
_NAMES: tuple[tuple[str, str], ...] = (
    (r"flux|schnell", FLUX),
    (r"sd3|stable[-_ ]?diffusion[-_ ]?3", SD_3),
    (r"qwen", "Qwen-Image"),
    (r"z[-_]?image", "Z-Image"),
    (r"(?<![a-z])wan[-_ ]?[\d.v]", "Wan"),
    (r"hunyuan", "Hunyuan"),
    (r"(?<![a-z])ltx", "LTX-Video"),
    (r"(?<![a-z])svd(?![a-z])", "Stable Video Diffusion"),
    (r"cascade", "Stable Cascade"),
    (r"kolors", "Kolors"),
    (r"pixart", "PixArt"),
    (r"hidream", "HiDream"),
    (r"chroma", "Chroma"),
    (r"cosmos", "Cosmos"),
    (r"mochi", "Mochi"),
    (r"lumina", "Lumina"),
    (r"auraflow|aura_flow", "AuraFlow"),
    (r"anima[-_]", "Anima"),
    (r"(?<!x)xl|pony|illustrious|noobai", SDXL),  # not t5xxl
    (r"v2[-_]1|sd[-_ ]?2|768[-_]v|512[-_]base|stable[-_]diffusion[-_]2", SD_2),
    (_OF_SD_1, SD_1),
    (r"sd[-_ ]?v?1|v1[-_.]\d|(?<![a-z\d])1\.5|t2iadapter\w*_sd14|animatediff|mm_sd", SD_1),
)
_TYPES: tuple[tuple[str, str], ...] = (
    (r"CLIPTextEncodeSDXL.*|.*SDXL.*", SDXL),
    (r"(CLIPTextEncode)?Flux.*|.*Flux.*", FLUX),
    (r"TripleCLIPLoader", SD_3),
    (r"Wan[A-Z].*", "Wan"),
    (r".*Hunyuan.*", "Hunyuan"),
    (r"LTX.*|EmptyLTX.*", "LTX-Video"),
    (r"TextEncodeQwen.*", "Qwen-Image"),
    (r"SVD_.*", "Stable Video Diffusion"),
    (r".*Mochi.*", "Mochi"),
    (r".*StableCascade.*", "Stable Cascade"),
    (r"ADE_.*", SD_1),
)
"""Node types that serve one family alone."""


_OF_ALL = ("text_encoders", "clip_vision", "upscale_models")
"""Folders whose files serve several families."""


@dataclass(frozen=True)
class Family:
    """The family's name ("" where nothing tells it), and by what it is told."""

    name: str
    by: str

    @property
    def is_here(self) -> bool:
        """False where it is surely none that the embedded host samples."""
        return not self.name or self.name in HERE


def family_of(graph: Graph, files: Iterable[ModelFile]) -> Family:
    """Of the workflow: by the model's header where the file is here, by its name, by nodes that
    serve one family, or by the names of ControlNets, LoRAs and other files.
    """
    told = [*_by_files(files), *_by_nodes(graph.nodes.values())]
    told.sort(key=lambda one: one[0])
    return told[0][1] if told else Family("", "nothing in the file tells it")


def elsewhere(family: Family) -> list[Problem]:
    """What is wrong where a workflow's models are of a family that this host does not sample."""
    if family.is_here:
        return []
    words = f"this host has no {family.name} models, and {family.by} says that it is made for one"
    return [Problem("family", words)]


def _by_files(files: Iterable[ModelFile]) -> Iterator[tuple[int, Family]]:
    for file in files:
        base = file.folder in ("checkpoints", "diffusion_models")
        if file.folder in _OF_ALL:
            continue
        if base and file.here and (name := told_by_header(Model(file.name, file.folder))):
            yield 0, Family(name, f"the header of {file.name}")
        elif name := _named(file.name):
            rank = 1 if base else 4 if file.folder == "loras" else 3
            yield rank, Family(name, f"the name of the {file.kind} {shown(file.name)}")


def _by_nodes(nodes: Iterable[Node]) -> Iterator[tuple[int, Family]]:
    for node in nodes:
        for pattern, family in _TYPES:
            if re.fullmatch(pattern, node.type):
                yield 2, Family(family, node.label)


def _named(file: str) -> str:
    lower = file.lower()
    return next((family for pattern, family in _NAMES if re.search(pattern, lower)), "")
