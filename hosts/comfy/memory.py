"""Hint networks under ComfyUI's memory manager: loaded, counted and given back as its own are.

Imported in ComfyUI's process only, when a learned preprocessor first runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn


class HintNetwork(nn.Module):
    """The same weights as `network`, under a handle of its own.

    The manager writes a `device` and counters on what it is given, and transformers' networks
    refuse a `device`. The handle shares the network's dictionaries, so that what is moved through
    it moves in the network, and does not hold the network: that goes when its node lets go of it.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._modules = network._modules
        self._parameters = network._parameters
        self._buffers = network._buffers


_patchers: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()
"""ComfyUI's ModelPatcher of each network that was placed and still lives."""


def place(networks: Sequence[nn.Module]) -> torch.device:
    """Bring `networks` to where ComfyUI computes, and return that device.

    They count as loaded models: others are unloaded to make room for them, and they for others.
    """
    import comfy.model_management as manager

    patchers = [_patcher(network) for network in networks]
    # Whole: ComfyUI lends parts of a network only to layers of its own making.
    manager.load_models_gpu(patchers, force_full_load=True)
    device: torch.device = manager.get_torch_device()
    for patcher in patchers:
        patcher.model.to(device)  # with --novram nothing was loaded
    return device


def _patcher(network: nn.Module) -> Any:
    import comfy.model_management as manager
    from comfy.model_patcher import ModelPatcher

    if network not in _patchers:
        _patchers[network] = ModelPatcher(
            HintNetwork(network),
            load_device=manager.get_torch_device(),
            offload_device=manager.unet_offload_device(),
        )
    return _patchers[network]
