"""An embedded host with folders of its own."""

from __future__ import annotations

from tests.nodes.conftest import models, place

__all__ = ["models", "place"]
