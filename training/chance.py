"""Chance as a pure function: what is drawn depends on the key alone, not on what was drawn before,
so that a resumed run and any number of processes draw the same.
"""

from __future__ import annotations

from hashlib import blake2b

import torch

_BITS = 63


def number(*key: int | str) -> int:
    """A number of 63 bits that looks random and is the same for the same `key`."""
    digest = blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - _BITS)


def share(*key: int | str) -> float:
    """A number from 0 up to 1, uniform over keys."""
    return number(*key) / (1 << _BITS)


def generator(*key: int | str) -> torch.Generator:
    """A CPU generator that starts from `key`."""
    return torch.Generator().manual_seed(number(*key))
