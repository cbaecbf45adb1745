"""Every entry of the registry can be shown to a user as it is."""

from pathlib import Path

import pytest

from controlstack.ground.parameters import Parameter
from controlstack.preprocessors.pose.draw import DRAWING
from controlstack.preprocessors.registry import EXACT, LEARNED, PREPROCESSORS, SHIPPED
from controlstack.preprocessors.spec import Preprocessor

ENTRIES = [pytest.param(entry, id=name) for name, entry in PREPROCESSORS.items()]
WITH_WEIGHTS = [pytest.param(entry, id=entry.name) for entry in (*SHIPPED, *LEARNED)]


def test_names_nodes_and_titles_are_told_apart() -> None:
    entries = [*EXACT, *SHIPPED, *LEARNED]
    assert len(PREPROCESSORS) == len(entries)
    for words in ("name", "node", "title"):
        assert len({getattr(entry, words) for entry in entries}) == len(entries)


def test_what_needs_weights_is_known() -> None:
    assert all(entry.learning is None for entry in EXACT)
    assert all(entry.learning is not None and entry.run is None for entry in (*SHIPPED, *LEARNED))
    assert not any(entry.downloads for entry in (*EXACT, *SHIPPED))
    assert all(entry.downloads for entry in LEARNED)


@pytest.mark.parametrize("entry", ENTRIES)
def test_its_words_are_all_there(entry: Preprocessor) -> None:
    assert entry.name == entry.name.lower()
    assert entry.name.replace("_", "").isalnum()
    assert entry.node.startswith("ControlStack")
    assert entry.title.endswith(" Hint")
    assert entry.description.endswith(".")
    assert entry.controls
    assert any("一" <= letter <= "鿿" for word in entry.aliases for letter in word)
    assert len(set(entry.aliases)) == len(entry.aliases)


@pytest.mark.parametrize("entry", ENTRIES)
def test_defaults_are_settings_and_ranges_are_kept(entry: Preprocessor) -> None:
    assert entry.settings({}) == {p.name: p.default for p in entry.parameters}
    in_words = {p.name: str(p.default) for p in entry.parameters}
    assert entry.settings_in_words(in_words) == entry.settings({})
    for parameter in entry.parameters:
        assert parameter.tooltip.endswith(".")
        if parameter.choices:
            assert parameter.default in parameter.choices
        elif not isinstance(parameter.default, (bool, str)):
            assert parameter.low < parameter.high
            assert parameter.step > 0
            assert _keeps(parameter, parameter.low)
            assert _keeps(parameter, parameter.high)


@pytest.mark.parametrize("entry", WITH_WEIGHTS)
def test_its_weights_say_where_they_are_from(entry: Preprocessor) -> None:
    assert entry.learning is not None
    models = [*entry.learning.models, *entry.learning.also]
    assert models
    for model in models:
        assert model.repo.count("/") == (1 if model.shipped is None else 0)
        assert model.files
        assert model.licence
        assert model.megabytes > 0
        assert not Path(model.name).is_absolute()
        assert ".." not in Path(model.name).parts
        assert set(model.sha256) <= set(model.files)
        assert all(len(digest) == 64 for digest in model.sha256.values())
        if model.shipped is not None:
            size = sum((model.shipped / file).stat().st_size for file in model.files)
            assert model.megabytes == round(size / 1e6)
        if model.is_folder:
            assert {"model.safetensors", "pytorch_model.bin"} & set(model.files)


@pytest.mark.parametrize("entry", WITH_WEIGHTS)
def test_a_licence_that_forbids_commerce_is_said_on_the_node(entry: Preprocessor) -> None:
    assert entry.learning is not None
    models = [*entry.learning.models, *entry.learning.also]
    if not all(model.commercial for model in models):
        assert "commercial" in entry.description or "research" in entry.description


@pytest.mark.parametrize("entry", WITH_WEIGHTS)
def test_what_finds_people_can_be_told_how_to_draw_them(entry: Preprocessor) -> None:
    drawing = {parameter.name for parameter in DRAWING}
    own = {parameter.name for parameter in entry.parameters}
    assert entry.learning is not None
    assert bool(drawing & own) == entry.learning.finds_people


def test_one_file_of_weights_is_published_once() -> None:
    seen: dict[tuple[str, str], object] = {}
    for entry in LEARNED:
        assert entry.learning is not None
        for model in (*entry.learning.models, *entry.learning.also):
            for file in model.files:
                facts = (model.name, model.licence, model.sha256.get(file))
                assert seen.setdefault((model.repo, file), facts) == facts


def _keeps(parameter: Parameter, value: float) -> bool:
    return parameter.checked(value, "test") == value
