"""Pictures and prompts in CLIP's common space, by a model from a local folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..ground.errors import UserError
from ..ground.wording import first_line
from ..preprocessors.learned.folder import Kind, load_network, load_processor
from ..preprocessors.picture import checked_rgb

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Picture = npt.NDArray[np.uint8]
Item = TypeVar("Item")

CLIP_MODELS = Kind(what="CLIP model", classes={"clip": "CLIPModel"})

AT_ONCE = 16
"""Pictures or prompts that a network sees together."""


@dataclass(frozen=True)
class Clip:
    """A loaded CLIP: its two towers, and what prepares pictures and prompts for them."""

    network: Any
    processor: Any
    tokenizer: Any

    @property
    def width(self) -> int:
        """Numbers in an embedding: 768 in CLIP ViT-L/14."""
        return int(self.network.config.projection_dim)

    def pictures(self, pictures: Iterable[Picture]) -> Tensor:
        """Pictures (uint8 RGB, H x W x 3, of any sizes) -> embeddings (n, width) of length 1.

        Each is resized and cropped in the middle as the model's processor says.
        """
        return self._embedded(pictures, self._see)

    def prompts(self, prompts: Iterable[str]) -> Tensor:
        """Prompts -> embeddings (n, width) of length 1. What is over the model's length (77 tokens)
        is cut off.
        """
        return self._embedded(prompts, self._read)

    def _embedded(self, items: Iterable[Any], tower: Any) -> Tensor:
        import torch

        with torch.inference_mode():
            found = [tower(part).cpu() for part in parts(items, AT_ONCE)]
        if not found:
            return torch.empty(0, self.width)
        unit: Tensor = torch.nn.functional.normalize(torch.cat(found), dim=-1)
        return unit

    def _see(self, pictures: Sequence[Picture]) -> Tensor:
        checked = [checked_rgb(picture, "CLIP") for picture in pictures]
        inputs = self.processor(
            images=checked, return_tensors="pt", input_data_format="channels_last"
        )
        return _pooled(self.network.get_image_features(inputs["pixel_values"].to(self._device)))

    def _read(self, prompts: Sequence[str]) -> Tensor:
        inputs = self.tokenizer(
            list(prompts),
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=self.network.config.text_config.max_position_embeddings,
        ).to(self._device)
        return _pooled(
            self.network.get_text_features(inputs["input_ids"], inputs["attention_mask"])
        )

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(self.network.parameters()).device
        return device


def load_clip(folder: Path, device: torch.device | str = "cpu") -> Clip:
    """The CLIP model in `folder`, as transformers saves it, on `device`. Nothing is fetched.

    Raises UserError, with the place to get it from, where there is none, and for a folder that is
    not whole.
    """
    if not folder.is_dir():
        raise UserError(
            f"There is no CLIP model at {folder}: put the folder of "
            "https://huggingface.co/openai/clip-vit-large-patch14 there (config.json, "
            "preprocessor_config.json, model.safetensors, tokenizer.json)."
        )
    network = load_network(folder, CLIP_MODELS).to(device)
    return Clip(network, load_processor(folder, CLIP_MODELS), _tokenizer(folder))


def parts(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """`items` in lists of `size`, the last one perhaps shorter."""
    left = iter(items)
    while part := list(islice(left, size)):
        yield part


def _tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    if not (folder / "tokenizer.json").is_file() and not (folder / "vocab.json").is_file():
        raise UserError(
            f"{folder} has no tokenizer.json and no vocab.json; copy the CLIP model's whole folder."
        )
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # a damaged file can make the library raise anything
        raise UserError(
            f"The tokenizer in {folder} cannot be loaded: {first_line(error)}"
        ) from error


def _pooled(features: Any) -> Tensor:
    """The projected embedding, which transformers returns alone up to 4 and in an output from 5."""
    pooled: Tensor = getattr(features, "pooler_output", features)
    return pooled
