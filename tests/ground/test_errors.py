"""How the log and the front end name an error of the pack, whatever imported it."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest

from controlstack.ground.errors import UserError
from controlstack.training.manifest import DamagedError
from tests.checkout import ROOT

PATH = "/home/somebody/Comfy UI/custom_nodes/control_x_stack"
"""As ComfyUI names the module of a pack: its folder, with "_x_" for dots."""


@pytest.fixture
def as_comfyui_has_it() -> Iterator[ModuleType]:
    """A second copy of `ground.errors`, in a package of that name."""
    spec = spec_from_file_location(PATH, ROOT / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[PATH] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[PATH])
    yield importlib.import_module(f"{PATH}.ground.errors")
    for name in [name for name in sys.modules if name.startswith(PATH)]:
        del sys.modules[name]


def test_no_path_stands_in_the_name_of_an_error(as_comfyui_has_it: ModuleType) -> None:
    kind = as_comfyui_has_it.UserError
    assert kind is not UserError
    assert (kind.__module__, kind.__qualname__) == ("controlstack.ground.errors", "UserError")
    kin = type("OtherError", (kind,), {"__module__": f"{PATH}.training.loop"})
    assert kin.__module__ == "controlstack.training.loop"
    theirs = type("OtherError", (kind,), {"__module__": "elsewhere.errors"})
    assert theirs.__module__ == "elsewhere.errors"


def test_processes_send_one_another_errors() -> None:
    assert all(pickle.loads(pickle.dumps(kind)) is kind for kind in (UserError, DamagedError))
    again = pickle.loads(pickle.dumps(UserError("What was wrong.")))
    assert (type(again), str(again)) == (UserError, "What was wrong.")
