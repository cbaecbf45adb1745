"""docs/annotators.md is what the registry says: every file, licence and checksum."""

from __future__ import annotations

from pathlib import Path

from controlstack.preprocessors.registry import PREPROCESSORS
from controlstack.preprocessors.spec import Weights

DOC = Path(__file__).parents[2] / "docs" / "annotators.md"


def table(heading: str) -> set[tuple[str, ...]]:
    """The cells of the table under `heading`."""
    section = DOC.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return {tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]}


def users(shipped: bool = False) -> list[tuple[Weights, list[str]]]:
    """The weights that are to be fetched, or those that are `shipped`, each with the preprocessors
    that need it."""
    found: dict[str, tuple[Weights, list[str]]] = {}
    for entry in PREPROCESSORS.values():
        learning = entry.learning
        for weights in (*learning.models, *learning.also) if learning is not None else ():
            if (weights.shipped is not None) != shipped:
                continue
            found.setdefault(weights.name, (weights, []))[1].append(entry.name)
    return list(found.values())


def code(words: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def test_every_file_and_licence_is_listed() -> None:
    assert table("Files and licences") == {
        (
            weights.name,
            code(names),
            f"[{weights.repo}](https://huggingface.co/{weights.repo})",
            code(weights.files),
            str(weights.megabytes),
            weights.licence,
            "yes" if weights.commercial else "**no**",
        )
        for weights, names in users()
    }


def test_what_ships_is_listed() -> None:
    assert table("What ships with the pack") == {
        (
            weights.name,
            code(names),
            code(weights.files),
            str(weights.megabytes),
            weights.licence,
            "yes" if weights.commercial else "**no**",
        )
        for weights, names in users(shipped=True)
    }


def test_every_published_checksum_is_listed() -> None:
    assert table("Published checksums") == {
        (weights.name, f"`{file}`", f"`{checksum}`")
        for weights, _ in users()
        for file, checksum in weights.sha256.items()
    }


def test_checksums_are_of_files_that_are_fetched() -> None:
    for weights, _ in users():
        assert set(weights.sha256) <= set(weights.files), weights.name
        for checksum in weights.sha256.values():
            assert len(bytes.fromhex(checksum)) == 32, weights.name


def test_what_is_not_free_for_commercial_use_is_said_on_the_node() -> None:
    for entry in PREPROCESSORS.values():
        learning = entry.learning
        if learning is None:
            continue
        weights = (*learning.models, *learning.also)
        if not all(one.commercial for one in weights):
            assert "commercial" in entry.description.lower(), entry.name
