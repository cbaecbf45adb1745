"""One server of ours, over the demo models, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controlstack.headless.graph.model import Graph
from tests.comfyui import shipped
from tests.own_server import OwnServer, serving


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """A running server."""
    with serving(tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture
def graph() -> Graph:
    """A picture that the demo models draw in three steps."""
    return shipped.small("pose")
