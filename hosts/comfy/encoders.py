"""ComfyUI's CLIP and VAE as the encoders of a training run (`training/base.py`)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...ground.errors import UserError
from ...training.base import Texts
from ...training.sdxl import SINUSOIDS, SIZES

_PROBE = ("", "a photograph of two people in front of a red house")
_EDGE = 64


class ComfyEncoders:
    """See `training.base.Encoders`. ComfyUI loads both where it computes; results are on the CPU
    in float32, and are no tensors of inference mode.
    """

    def __init__(self, clip: Any, vae: Any, base: Any, name: str) -> None:
        """`base`: ComfyUI's BaseModel, for the U-Net's scale of latents and the text it reads."""
        self._clip = clip
        self._vae = vae
        self._into: Any = base.process_latent_in
        self._out_of: Any = base.process_latent_out
        config = base.model_config.unet_config
        self._width: int = config["context_dim"]
        self._channels: int = config["in_channels"]
        self.pooled_width = max(base.adm_channels - SIZES * SINUSOIDS, 0)
        """See `Encoders.pooled_width`."""
        self._name = name

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what both answer to two prompts and a picture.

        Their weights tell less: a LoRA may or may not be in them, as ComfyUI pleases at the time.
        """
        return hashlib.sha256(b"".join(a.numpy().tobytes() for a in self._answers)).hexdigest()

    @cached_property
    def _answers(self) -> tuple[Tensor, ...]:
        picture = torch.rand(1, 3, _EDGE, _EDGE, generator=torch.Generator().manual_seed(0))
        texts = self.texts(_PROBE)
        pooled = () if texts.pooled is None else (texts.pooled,)
        return (texts.words, *self.moments(picture * 2 - 1), *pooled)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """See `Encoders.sizes`."""
        words, mean = self._answers[:2]
        return mean.shape[1], words.shape[1], words.shape[2]

    def tokens(self, prompts: Sequence[str]) -> list[int]:
        """See `Encoders.tokens`: ComfyUI numbers a prompt's words; marks and padding have 0."""
        counts = []
        for prompt in prompts:
            parts = self._clip.tokenize(prompt, return_word_ids=True, disable_weights=True)
            rows = next(iter(parts.values()))
            counts.append(sum(token[-1] != 0 for row in rows for token in row))
        return counts

    def words(self, prompts: Sequence[str]) -> Tensor:
        """See `Encoders.words`: plain prompts, cut at 77 tokens; CLIP's layer is respected."""
        return self.texts(prompts).words

    def texts(self, prompts: Sequence[str]) -> Texts:
        """See `Encoders.texts`. ComfyUI pools a batch's first row alone: one prompt at a time."""
        if not self.pooled_width:
            return Texts(self._encoded(prompts)[0])
        each = [self._encoded([prompt]) for prompt in prompts]
        return Texts(torch.cat([words for words, _ in each]), torch.cat([one for _, one in each]))

    def _encoded(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Words (n, tokens, width), and the first prompt's pooled text (1, P), P 0 for none."""
        tokens = [self._clip.tokenize(prompt, disable_weights=True) for prompt in prompts]
        # ComfyUI encodes the rows of a long prompt as one batch: here, a row for each prompt.
        rows = {part: [token[part][0] for token in tokens] for token in tokens for part in token}
        with torch.inference_mode():
            encoded, pooled = self._clip.encode_from_tokens(rows, return_pooled=True)
        if encoded.shape[-1] != self._width:
            raise UserError(
                f"The CLIP gives texts {encoded.shape[-1]} wide and {self._name} reads "
                f"{self._width}: wire the CLIP that belongs to the model."
            )
        if pooled is None or not self.pooled_width:
            pooled = torch.empty(1, 0)
        if pooled.shape[-1] != self.pooled_width:
            raise UserError(
                f"The CLIP pools texts {pooled.shape[-1]} wide and {self._name} reads "
                f"{self.pooled_width}: wire the CLIP that belongs to the model."
            )
        return _plain(encoded).view(len(prompts), -1, self._width), _plain(pooled)

    def moments(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """See `Encoders.moments`. Where ComfyUI had to encode in tiles, the deviation is 0."""
        pixels = ((pictures.float() + 1) / 2).movedim(1, -1).cpu()
        with torch.inference_mode(), _posteriors(self._vae) as found:
            latents = self._vae.encode(pixels)
        if latents.shape[1] != self._channels:
            raise UserError(
                f"The VAE gives latents of {latents.shape[1]} channels and {self._name} takes "
                f"{self._channels}: wire the VAE that belongs to the model."
            )
        mean, deviation = _plain(latents), torch.zeros(latents.shape)
        if found:
            parameters = _plain(torch.cat(found))
            if parameters[:, : mean.shape[1]].shape == mean.shape:
                mean, log_variance = parameters.chunk(2, dim=1)
                # The bounds are those of the KL autoencoder's own distribution (CompVis/
                # stable-diffusion, ldm/modules/distributions/distributions.py).
                deviation = (0.5 * log_variance.clamp(-30.0, 20.0)).exp()
        return self._into(mean), self._into(deviation)

    def pictures(self, latents: Tensor) -> Tensor:
        """See `Encoders.pictures`."""
        with torch.inference_mode():
            decoded = self._vae.decode(self._out_of(latents.detach().float().cpu()))
        return _plain(decoded).movedim(-1, 1)


@contextmanager
def _posteriors(vae: Any) -> Iterator[list[Tensor]]:
    """What a KL autoencoder gives inside the block before it takes the mean: mean and log variance
    in one tensor (n, 2c, h, w) a batch. None for other autoencoders.
    """
    found: list[Tensor] = []
    last = getattr(vae.first_stage_model, "regularization", None)
    if last is None:
        yield found
        return
    hook = last.register_forward_pre_hook(lambda _, given: found.append(given[0]))
    try:
        yield found
    finally:
        hook.remove()


def _plain(tensor: Tensor) -> Tensor:
    """A copy on the CPU, in float32, that may take part in training."""
    with torch.inference_mode(False):
        return tensor.detach().to("cpu", torch.float32, copy=True)
