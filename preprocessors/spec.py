"""What a preprocessor is: a function from a picture to a hint, with the words that users meet.

Each family's file ends with its own entry; `registry` lists them all. Nodes, the generic node and
the command line are made from these entries and from nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from ..ground.errors import UserError
from ..ground.parameters import Parameter, Value
from .picture import Bytes, Floats

if TYPE_CHECKING:
    import torch

    from .pose.people import Pose

Hint: TypeAlias = Bytes | Floats
"""H x W x 3 RGB: bytes, or float32 in 0..1 where 8 bits are too few (depth) or -1 has a meaning
(inpaint)."""

Takes: TypeAlias = Literal["picture", "masked picture", "depth", "labels", "pose"]
"""What a preprocessor's function is given first:

    picture         uint8 RGB, H x W x 3
    masked picture  float32 RGB, H x W x 3 in 0..1, and then float32 H x W, 1 where it is masked
    depth           float32, H x W in 0..1, near is 1
    labels          uint8, H x W: a class number a pixel
    pose            a Pose, drawn by `pose.draw`
"""

TAKEN: Mapping[Takes, str] = {
    "picture": "a picture",
    "masked picture": "a masked picture",
    "depth": "a depth map",
    "labels": "a label map",
    "pose": "OpenPose JSON",
}
"""What a preprocessor takes, in words."""


Shows: TypeAlias = Literal[
    "edges", "depth", "normals", "segmentation", "pose", "picture", "colours", "points"
]
"""What a hint holds of a picture, and so what two of them are compared by: "picture" stands for
hints that keep places and colours as they are, "colours" for those that keep colours and move them
about, "points" for bright spots, which no preprocessor of ours makes."""


@dataclass(frozen=True)
class Weights:
    """Published weights that a learned preprocessor loads.

    `name` is what a user picks. `files` are names in the Hugging Face repository `repo`; one of
    them being config.json makes it a folder as transformers saves it. `sha256` holds the published
    checksums that are known, by file. `shipped` is the folder of the pack where the files lie,
    which then come from no repository.
    """

    name: str
    repo: str
    files: tuple[str, ...]
    licence: str
    commercial: bool
    megabytes: int
    sha256: Mapping[str, str] = field(default_factory=dict)
    shipped: Path | None = None

    @property
    def is_folder(self) -> bool:
        """Whether the weights are a whole folder in transformers' layout."""
        return "config.json" in self.files


class Annotator(Protocol):
    """A loaded learned preprocessor."""

    @property
    def networks(self) -> Sequence[torch.nn.Module]:
        """What a host's memory manager moves, in eval mode and float32."""
        ...

    def __call__(self, picture: Bytes, device: torch.device, **settings: Any) -> Hint | Pose:
        """The hint of `picture` (uint8 RGB, H x W x 3), of the same H x W, or the people in it.

        The networks are on `device` already.
        """
        ...


@dataclass(frozen=True)
class Learning:
    """What makes a preprocessor a learned one.

    `models` are the published weights to choose from, the first one by default; `also` are needed
    with any of them. `load` is given the chosen model's paths and then those of `also`: a folder
    for a folder of transformers, else each file; `check` raises UserError for paths that cannot be
    loaded, as far as a look at the files tells. `model_types` are those of config.json that a
    user's own folder may have. `any_size`: the network looks at pictures of any size, so that a
    user may choose one ("resolution"); `resolution` is then the shorter side, in pixels, at which
    it looks unless the user chooses, 0 for the hint's own. `finds_people`: it gives a Pose, which
    is then drawn.
    `signs`: for each file of controlnet-aux a tensor's name by which it is known, what the network
    is called, and the file.
    """

    models: tuple[Weights, ...]
    load: Callable[[Sequence[Path]], Annotator]
    also: tuple[Weights, ...] = ()
    check: Callable[[Sequence[Path]], object] | None = None
    model_types: tuple[str, ...] = ()
    any_size: bool = False
    resolution: int = 0
    finds_people: bool = False
    signs: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Preprocessor:
    """One way to make a hint.

    `name` is its name on the command line and in the generic node, `node` its node's id, `title`
    its node's title, `shows` what its hints hold. `controls` says which ControlNets follow such
    hints. `drawn`: flat colours or thin lines, which are resized to the nearest pixel and never
    blended. `background` is what bars around a picture that does not fill its hint hold, in the
    hint's units. `way` is raised when the same picture and settings begin to give another hint, so
    that what a training cached before is made again. `run` makes the hint of an exact preprocessor
    from what it `takes` and its settings; a learned one has `learning` instead.
    `check` raises UserError for settings that are wrong only together.

    `added` names the settings that came when the node was out: their widgets stand behind all
    others, as `widgets_values` are positional. `told` is what a person should know who asked for
    it by another pack's name (`names`).
    """

    name: str
    node: str
    title: str
    shows: Shows
    description: str
    aliases: tuple[str, ...]
    controls: str
    parameters: tuple[Parameter, ...] = ()
    takes: Takes = "picture"
    drawn: bool = False
    background: float = 0
    way: int = 0
    run: Callable[..., Hint] | None = None
    learning: Learning | None = None
    check: Callable[..., None] | None = None
    added: tuple[str, ...] = ()
    told: str = ""

    @property
    def finds_people(self) -> bool:
        """Whether it looks for people in a picture, and so has a pose to give besides."""
        return self.learning is not None and self.learning.finds_people

    @property
    def downloads(self) -> bool:
        """Whether it has weights that do not ship with the pack, and so are to be fetched."""
        learning = self.learning
        needed = (*learning.models, *learning.also) if learning is not None else ()
        return any(one.shipped is None for one in needed)

    @property
    def has_choice(self) -> bool:
        """Whether there may be several models to pick from."""
        learning = self.learning
        return learning is not None and (len(learning.models) > 1 or bool(learning.model_types))

    def settings_in_words(self, given: Mapping[str, str]) -> dict[str, Value]:
        """`settings`, each `given` as its text: by a command line or in a file.

        Raises UserError, too, for a text that is no value of its setting's kind.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        return self.settings(
            {
                name: known[name].read(text, self.name) if name in known else text
                for name, text in given.items()
            }
        )

    def settings(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """`given` checked, with the defaults of what it leaves out.

        Raises UserError for a value out of range and for a name that is no parameter.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        strange = sorted(set(given) - set(known))
        if strange:
            there = ", ".join(known) or "none"
            raise UserError(f"{self.name} has no setting {strange[0][:60]}; it has {there}.")
        values = {
            name: parameter.checked(given.get(name, parameter.default), self.name)
            for name, parameter in known.items()
        }
        if self.check is not None:
            self.check(**values)
        return values
