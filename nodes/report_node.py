"""What the controls of a MODEL did in its last run: a picture, JSON and sentences."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..hosts import host
from ..model_patch.record import recordings

NO_RECORDING = (
    "This model has no recording: switch record on at Apply ControlNet Stack, and sample again."
)
NOT_SAMPLED = (
    "This model has not sampled since record was switched on: wire the latent of the sampler that "
    "uses it."
)


class ControlStackReport:
    """The report on a MODEL's last run."""

    DESCRIPTION = (
        "What each control did in the last run of a model: how much it added, in which blocks and "
        "steps, and where in the picture; whether controls pull against each other; and why one "
        "did nothing. Switch record on at Apply ControlNet Stack."
    )
    SEARCH_ALIASES = (
        *("controlnet report", "control inspector", "controlnet heat map", "attention map"),
        *("why does controlnet do nothing", "controlnet not working", "控制报告"),
    )
    CATEGORY = "ControlStack"
    FUNCTION = "report"
    OUTPUT_NODE = True
    RETURN_TYPES = ("IMAGE", "STRING", "STRING")
    RETURN_NAMES = ("report", "json", "sentences")
    OUTPUT_TOOLTIPS = (
        "The report as a picture.",
        "All figures as JSON.",
        "A sentence for each control and each two of them.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs."""
        return {
            "required": {
                "model": (
                    "MODEL",
                    {"tooltip": "The model from Apply ControlNet Stack, with record switched on."},
                ),
                "latent": (
                    "LATENT",
                    {"tooltip": "The latent from the sampler, so that it has run before."},
                ),
            },
            "optional": {
                "image": (
                    "IMAGE",
                    {
                        "tooltip": "The decoded picture, to lay maps over. Without it they lie "
                        "over the hints."
                    },
                ),
            },
        }

    def report(self, model: Any, latent: Any, image: Tensor | None = None) -> dict[str, Any]:
        """The last run of `model`; `image` is (B, H, W, 3) in 0..1."""
        from ..inspection.report import as_json, report_of
        from ..inspection.report_picture import beneath, draw_report, draw_words
        from .images import of_picture

        kept = recordings(model)
        reports = [report_of(one.last) for one in kept if one.last is not None]
        said = [sentence for report in reports for sentence in report.sentences]
        if reports:
            pictures = None if image is None else image[..., :3].double().cpu().numpy()
            drawn = beneath([draw_report(report, pictures) for report in reports])
        else:
            said = [NOT_SAMPLED if kept else NO_RECORDING]
            drawn = draw_words(said[0])
        shown = {"images": [host.current().preview(drawn)], "text": said}
        result = (of_picture(drawn), as_json(reports), "\n".join(said))
        return {"ui": shown, "result": result}
