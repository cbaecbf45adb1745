"""The nodes of the embedded host as a workflow meets them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controlstack.headless.core_nodes import CORE_NODES
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.values import check_range, convert
from controlstack.headless.sampling.samplers import SAMPLERS

# The core's nodes that ControlNet workflows use, by their ids.
CORE = """CheckpointLoaderSimple UNETLoader CLIPLoader VAELoader LoraLoader CLIPSetLastLayer
CLIPTextEncode ConditioningCombine ConditioningConcat ConditioningAverage
ConditioningSetTimestepRange ConditioningSetArea ConditioningSetMask ConditioningZeroOut
EmptyLatentImage LatentUpscale LatentUpscaleBy SetLatentNoiseMask VAEEncode VAEEncodeForInpaint
VAEDecode KSampler KSamplerAdvanced
LoadImage LoadImageMask ImageScale ImageScaleBy ImageInvert Canny PreviewImage SaveImage
ControlNetLoader ControlNetApply ControlNetApplyAdvanced SetUnionControlNetType"""

REGISTRY = default_registry()


def test_the_page_lists_every_core_node() -> None:
    page = (Path(__file__).parents[2] / "docs" / "core-nodes.md").read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", page))
    assert set(CORE_NODES) - words == set()
    assert len(SAMPLERS) == 44


def test_every_core_node_is_there() -> None:
    assert set(CORE.split()) - set(REGISTRY) == set()
    assert {"ControlStackLoader", "ControlStackAdd", "ControlStackApply"} <= set(REGISTRY)


@pytest.mark.parametrize("node_type", list(REGISTRY))
def test_a_node_declares_what_the_host_needs(node_type: str) -> None:
    spec = REGISTRY.spec(node_type)
    assert callable(getattr(spec.cls, spec.function))
    assert len(spec.output_names) == len(spec.output_is_list) == len(spec.outputs)
    assert spec.outputs or spec.is_output
    assert spec.cls.CATEGORY
    for field in spec.widgets:
        if field.default is not None:
            check_range(field, convert(field, field.default))
