"""What the hints of a run show, and whether they are given or made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...ground.errors import UserError
from ...ground.parameters import Value
from ...preprocessors.making import Sizing, Source, make
from ...preprocessors.mediapipe.face_mesh import MEDIAPIPE_FACE
from ...preprocessors.names import named
from ...preprocessors.pose.draw import DRAWING
from ...preprocessors.ready import HintMaker
from ...preprocessors.registry import PREPROCESSORS
from ...preprocessors.spec import Hint, Preprocessor
from ..settings import DataSettings


@dataclass(frozen=True)
class Condition:
    """How a row's hint comes to be.

    `entry` is None for given hints of which nothing is known. `values` are its settings, complete.
    `made`: it makes the hints, of the pictures or, where it takes something else, of the hint
    files. `resize`: hints of another size than their picture are brought to it.
    """

    entry: Preprocessor | None = None
    values: Mapping[str, Value] = field(default_factory=dict)
    made: bool = False
    resize: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        # Workers are sent it; what a preprocessor holds need not be sendable, its name is.
        return _again, (self.entry and self.entry.name, dict(self.values), self.made, self.resize)

    @property
    def from_picture(self) -> bool:
        """Whether hints are made of the pictures alone, and no hint file is looked for."""
        return self.made and self.entry is not None and self.entry.takes == "picture"

    @property
    def needs_picture(self) -> bool:
        """Whether the picture has to be read to have its hint."""
        takes = self.entry.takes if self.entry is not None else None
        return self.made and takes in ("picture", "masked picture")

    @property
    def by_network(self) -> bool:
        """Whether a loaded network has to make the hints."""
        return self.from_picture and self.entry is not None and self.entry.learning is not None

    def make(self, source: Source, maker: HintMaker | None = None) -> Hint:
        """The hint that the entry makes of `source`, by the network of `maker` if it has one."""
        assert self.entry is not None
        loaded = maker.loaded if maker else None
        return make(self.entry, source, self.values, Sizing(), loaded).hint

    @property
    def whole(self) -> bool:
        """Whether what a row has for a hint still has to be made into one."""
        return self.made or (self.entry is not None and self.entry.takes == "masked picture")

    @property
    def drawn(self) -> bool:
        """Whether what a row has for a hint is resized to the nearest pixel: lines, and colours and
        numbers of classes, between which there is nothing.
        """
        if self.entry is None:
            return False
        return self.entry.takes == "labels" if self.whole else self.entry.drawn

    @property
    def draws_people(self) -> bool:
        """Whether hints are skeletons."""
        return self.entry is not None and self.entry.shows == "pose"

    @property
    def draws_faces(self) -> bool:
        """Whether hints are faces whose left and right have colours of their own."""
        # Another pack's name gives a copy of the entry.
        return self.entry is not None and self.entry.name == MEDIAPIPE_FACE.name

    @property
    def drawing(self) -> Mapping[str, Value]:
        """How people are drawn."""
        names = {parameter.name for parameter in DRAWING}
        return {name: value for name, value in self.values.items() if name in names}

    @property
    def turned_channel(self) -> int | None:
        """The channel of a normal map that says how far a surface faces left."""
        if self.entry is None or self.entry.shows != "normals":
            return None
        return 2 if self.values.get("axes") == "v1.0" else 0


def condition_of(settings: DataSettings, has_hints: bool) -> Condition:
    """The condition that `settings` ask for, of data that has hint files or has none.

    Raises UserError for an unknown name or setting, and where hints are neither given nor can be
    made.
    """
    made = settings.hints == "made" or (settings.hints == "auto" and not has_hints)
    entry = _entry(settings.condition)
    if entry is None:
        if settings.hint_settings:
            raise UserError(
                "hint_settings are given and condition is empty; name the preprocessor they are "
                "for with condition."
            )
        if made or not has_hints:
            raise UserError(
                "The training data has no hints, and condition does not say how to make them; name "
                "a preprocessor such as canny with condition, or give hint files."
            )
        return Condition(resize=settings.resize_hints)
    if not has_hints and (not made or entry.takes != "picture"):
        wanted = f"{entry.name} takes {entry.takes} files" if made else "hints is given"
        raise UserError(f"The training data has no hint files, and {wanted}; give them.")
    values = entry.settings_in_words(_hint_values(settings))
    return Condition(entry, values, made, settings.resize_hints)


def _again(name: str | None, values: Mapping[str, Value], made: bool, resize: bool) -> Condition:
    return Condition(PREPROCESSORS[name] if name else None, values, made, resize)


def looks_for_hints(settings: DataSettings) -> bool:
    """Whether hint files matter at all: not where all hints are made of the pictures."""
    entry = _entry(settings.condition)
    return not (settings.hints == "made" and entry is not None and entry.takes == "picture")


def check_condition(name: str) -> None:
    """Raise UserError for a `condition` that is neither a preprocessor's name nor empty."""
    _entry(name)


def _entry(name: str) -> Preprocessor | None:
    if not name:
        return None
    try:
        return named(name)
    except UserError as error:
        raise UserError(f"condition: {error}") from None


def _hint_values(settings: DataSettings) -> dict[str, str]:
    """`hint_settings` by name, each as its text: "a=1,b=2" -> {"a": "1", "b": "2"}.

    Raises UserError for a part that has no "=".
    """
    parts = [part.strip() for part in settings.hint_settings.split(",") if part.strip()]
    wrong = [part for part in parts if "=" not in part]
    if wrong:
        raise UserError(
            f"The training data's hint_settings have {wrong[0]!r}; write name=value, with commas "
            "between, such as low_threshold=50,high_threshold=150."
        )
    return {name.strip(): value.strip() for name, value in (part.split("=", 1) for part in parts)}
