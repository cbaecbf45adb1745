"""MODEL: what a clone shares and what it keeps to itself."""

from __future__ import annotations

import torch

from tests.tiny import tiny_model


def test_a_clone_shares_weights_and_nothing_else() -> None:
    model = tiny_model()
    model.model_options["transformer_options"]["patches"] = {"attn": [1]}
    clone = model.clone()
    clone.add_wrapper_with_key("apply_model", "key", print)
    clone.set_additional_models("key", [object()])
    clone.model_options["transformer_options"]["patches"]["attn"].append(2)
    assert clone.model is model.model
    assert clone.get_wrappers("apply_model", "key") == [print]
    assert model.get_wrappers("apply_model", "key") == []
    assert model.get_additional_models_with_key("key") == []
    assert model.model_options == {"transformer_options": {"patches": {"attn": [1]}}}


def test_what_is_added_to_the_original_later_does_not_reach_a_clone() -> None:
    model = tiny_model()
    model.add_wrapper_with_key("apply_model", "key", print)
    clone = model.clone()
    model.add_wrapper_with_key("apply_model", "key", repr)
    assert clone.get_wrappers("apply_model", "key") == [print]


def test_additional_models_are_kept_by_key() -> None:
    model = tiny_model()
    one, two = object(), object()
    model.set_additional_models("a", [one])
    model.set_additional_models("b", [two])
    assert model.get_additional_models_with_key("a") == [one]
    assert model.get_additional_models_with_key("c") == []
    assert model.get_additional_models_with_key("b") == [two]


def test_model_objects_by_name() -> None:
    model = tiny_model()
    assert model.get_model_object("model_sampling") is model.model.model_sampling
    assert model.get_model_object("diffusion_model.config") is model.model.diffusion_model.config
    assert model.load_device == torch.device("cpu")
    assert model.model.get_dtype() == torch.float32
