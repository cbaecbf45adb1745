"""MODEL of the embedded host: a U-Net that is shared, and patches that belong to one clone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch

from . import wrappers
from .base_model import BaseModel


class Model:
    """ComfyUI's model patcher as far as patches need it: clones share `model` and its weights,
    and each carries wrappers, options and additional models of its own.
    """

    def __init__(self, base: BaseModel) -> None:
        self.model = base
        self.model_options: dict[str, Any] = {"transformer_options": {}}
        self.wrappers: wrappers.Registry = {}
        self.additional_models: dict[str, list[Any]] = {}
        self.attachments: dict[str, Any] = {}

    @property
    def load_device(self) -> torch.device:
        """The device that sampling runs on: the one the U-Net was loaded to."""
        return self.model.device

    def clone(self) -> Model:
        """Return a MODEL on the same weights; patches added to it do not reach this one."""
        other = Model(self.model)
        other.model_options = wrappers.copy_options(self.model_options)
        other.wrappers = wrappers.copy_options(self.wrappers)
        other.additional_models = wrappers.copy_options(self.additional_models)
        other.attachments = dict(self.attachments)
        return other

    def add_wrapper_with_key(self, kind: str, key: str, fn: Callable[..., Any]) -> None:
        """Add `fn(executor, *args, **kwargs)` around one kind of call; see `wrappers`."""
        self.wrappers.setdefault(kind, {}).setdefault(key, []).append(fn)

    def get_wrappers(self, kind: str, key: str) -> list[Callable[..., Any]]:
        """Return the wrappers of one kind and key."""
        return list(self.wrappers.get(kind, {}).get(key, []))

    def get_model_object(self, name: str) -> Any:
        """Return an attribute of the base model by its dotted name, e.g. "model_sampling"."""
        return reduce(getattr, name.split("."), self.model)

    def set_additional_models(self, key: str, models: Sequence[Any]) -> None:
        """Register models that are needed wherever this one is; replaces those of `key`."""
        self.additional_models[key] = list(models)

    def get_additional_models_with_key(self, key: str) -> list[Any]:
        """Return the models registered under `key`."""
        return list(self.additional_models.get(key, []))

    def set_attachments(self, key: str, attachment: Any) -> None:
        """Keep an object under `key`; clones made from then on share it."""
        self.attachments[key] = attachment

    def get_attachment(self, key: str) -> Any:
        """Return what is kept under `key`, or None."""
        return self.attachments.get(key)
