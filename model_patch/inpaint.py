"""What an inpainting ControlNet gets beside its hint: where the picture is drawn anew.

As ComfyUI's ControlNetInpaintingAliMamaApply gives it (`comfy_extras/nodes_controlnet.py`): the
hint is black there, and a mask that is 1 where the picture stays is one more channel of the latent.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from .protocols import ControlNet
from .view import View, middle


def takes_mask(net: ControlNet) -> bool:
    """Whether a net is an inpainting one, as its host says."""
    return bool(getattr(net, "concat_mask", False))


def cut_out(hint: Tensor, masks: Tensor, view: View) -> tuple[Tensor, Tensor]:
    """The hint with black where masks are white, and where the picture stays.

    Args:
        hint: (B, 3, H, W) in 0..1.
        masks: (N, h, w) in 0..1, white where the picture is drawn anew.
        view: which of fewer hints or masks is taken for a picture that has none of its own.

    Returns:
        (max(B, N), 3, H, W), and as many (1, h, w).
    """
    stays = 1.0 - masks[:, None]
    count, (height, width) = max(len(hint), len(masks)), hint.shape[-2:]
    edges = F.interpolate(middle(stays, width / height), size=(height, width), mode="bilinear")
    stays, edges = view.spread(stays, count), view.spread(edges, count)
    return view.spread(hint, count) * edges.round(), stays
