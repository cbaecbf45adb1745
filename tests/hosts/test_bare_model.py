"""Only a MODEL whose weights say all can be trained on."""

from __future__ import annotations

from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.hosts.bare_model import require_bare
from tests.tiny import tiny_model


def test_a_loaded_model_passes() -> None:
    require_bare(tiny_model(), "sd.safetensors")


def test_what_works_on_the_guidance_or_on_the_whole_run_is_no_concern() -> None:
    model = tiny_model()
    model.model_options["sampler_cfg_function"] = print
    model.model_options["transformer_options"]["patches"] = {"attn1_patch": []}
    model.add_wrapper_with_key("outer_sample", "a", print)
    require_bare(model, "sd.safetensors")


def added(model: Any, kind: str) -> None:
    if kind == "model_function_wrapper":
        model.model_options[kind] = print
    elif kind == "apply_model":
        model.add_wrapper_with_key(kind, "a", print)
    else:
        model.model_options["transformer_options"][kind] = {"attn2": {"block": print}}


@pytest.mark.parametrize(
    "kind", ["apply_model", "model_function_wrapper", "patches", "patches_replace"]
)
def test_what_is_added_to_each_call_is_refused_by_name(kind: str) -> None:
    model = tiny_model()
    added(model, kind)
    with pytest.raises(UserError, match=kind) as caught:
        require_bare(model, "sd.safetensors")
    assert str(caught.value).startswith("sd.safetensors carries changes")
