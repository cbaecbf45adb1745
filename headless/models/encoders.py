"""What training asks of a text encoder and a VAE (`training/base.py`), over CLIP and VAE."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from ...training.base import Texts
from ...training.trainable import weights_hash
from .clip import Clip
from .tokenizers import count_tokens
from .vae import Vae


class ModelEncoders:
    """See `training.base.Encoders`; all of it without gradients, where the encoders lie."""

    def __init__(self, clip: Clip, vae: Vae, latent_scale: float) -> None:
        """`latent_scale`: what the MODEL multiplies a LATENT by."""
        self._clip = clip
        self._vae = vae
        self._scale = latent_scale

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of both encoders' weights and of what else decides their outputs."""
        digest = hashlib.sha256()
        texts = self._clip.encoders
        for network in (*(one.network for one in texts), self._vae.autoencoder):
            digest.update(weights_hash(network).encode())
        vocabularies = [sorted(one.tokenizer.get_vocab().items()) for one in texts]
        settings = [*vocabularies, self._clip.layer, self._vae.factor * self._scale]
        if self.pooled_width:
            through = texts[-1].projection
            assert through is not None  # no SDXL is loaded without
            digest.update(through.detach().cpu().float().contiguous().numpy().tobytes())
        digest.update(json.dumps(settings).encode())
        return digest.hexdigest()

    @property
    def sizes(self) -> tuple[int, int, int]:
        """See `Encoders.sizes`."""
        channels = self._vae.autoencoder.config.latent_channels
        return channels, self._clip.encoders[0].length, self._clip.width

    @property
    def pooled_width(self) -> int:
        """See `Encoders.pooled_width`: SDXL's two text encoders have one."""
        return self._clip.pooled_width if len(self._clip.encoders) > 1 else 0

    def tokens(self, prompts: Sequence[str]) -> list[int]:
        """See `Encoders.tokens`."""
        return count_tokens(self._clip.tokenizer, prompts)

    def moments(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """See `Encoders.moments`."""
        mean, deviation = self._vae.moments(pictures)
        return mean * self._scale, deviation * self._scale

    def words(self, prompts: Sequence[str]) -> Tensor:
        """See `Encoders.words`: plain prompts, cut at 77 tokens; CLIP's layer is respected."""
        return self.texts(prompts).words

    def texts(self, prompts: Sequence[str]) -> Texts:
        """See `Encoders.texts`."""
        words, pooled = self._clip.texts(prompts)
        return Texts(words, pooled if self.pooled_width else None)

    def pictures(self, latents: Tensor) -> Tensor:
        """See `Encoders.pictures`."""
        return self._vae.pictures(latents / self._scale)
