"""Stack nodes of Efficiency, Comfyroll and Easy-Use, and Efficiency's loader and sampler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.conversion.known import FIELDS
from controlstack.ground.errors import UserError
from controlstack.headless.core_nodes import CORE_NODES
from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.widgets import widget_values
from controlstack.headless.graph.workflow import read_workflow
from controlstack.headless.pack_nodes import PACK_NODES, comfyroll
from controlstack.model_patch.conditioning import Conditioning
from controlstack.nodes.stack_list import stack_of
from tests.headless.pack_nodes.test_advanced_controlnet import prompts, sampled
from tests.model_patch.stacks import control, hint, net

IMAGES = [hint(seed).movedim(1, -1) for seed in (1, 2)]


def run(node: str, **inputs: Any) -> tuple[Any, ...]:
    """What one call gives."""
    result: Any = (PACK_NODES.get(node) or CORE_NODES[node])().run(**inputs)
    return tuple(result["result"] if isinstance(result, dict) else result)


def by_core(*rows: tuple[Any, Tensor, float, float, float]) -> Tensor:
    """A latent under the core's chain."""
    positive, negative = prompts().values()
    for one, image, strength, start, end in rows:
        span = {"strength": strength, "start_percent": start, "end_percent": end}
        both: dict[str, Conditioning] = {"positive": positive, "negative": negative}
        positive, negative = run(
            "ControlNetApplyAdvanced", **both, control_net=one, image=image, **span
        )
    return sampled(positive, negative)


def test_efficiency_s_list_is_the_core_s_chain() -> None:
    rows = [(net(1), IMAGES[0], 0.8, 0.0, 0.6), (net(2), IMAGES[1], 0.5, 0.3, 1.0)]
    stack = None
    for one, image, strength, start, end in rows:
        span = {"strength": strength, "start_percent": start, "end_percent": end}
        made = run("Control Net Stacker", control_net=one, image=image, cnet_stack=stack, **span)
        assert stack is None or len(stack) == 1  # a list that was given stays as it was
        (stack,) = made
    applied = run("Apply ControlNet Stack", **prompts(), cnet_stack=stack)
    assert torch.equal(sampled(*applied), by_core(*rows))
    assert len(stack_of(stack)) == 2  # this pack's nodes take it as well
    nothing = run("Apply ControlNet Stack", **prompts())
    assert torch.equal(sampled(*nothing), by_core())


def test_a_stack_of_ours_is_taken_too() -> None:
    applied = run("Apply ControlNet Stack", **prompts(), cnet_stack=[control(1, strength=0.7)])
    image = hint(1).movedim(1, -1)
    assert torch.equal(sampled(*applied), by_core((net(1), image, 0.7, 0.0, 1.0)))
    for wrong, said in (([3], "entry 1 of the stack: it is 3"), ([(1, 2)], "it has 2 values")):
        with pytest.raises(UserError, match=said):
            run("Apply ControlNet Stack", **prompts(), cnet_stack=wrong)


def _rows(**changed: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for n in (1, 2, 3):
        found |= {f"switch_{n}": "On", f"controlnet_{n}": "None", f"start_percent_{n}": 0.0}
        found |= {f"controlnet_strength_{n}": 1.0, f"end_percent_{n}": 1.0}
    return {**found, **changed}


def test_comfyroll_s_rows_with_their_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    nets = {"a": net(1), "b": net(2)}
    monkeypatch.setattr(comfyroll, "loaded", lambda name: nets[name])
    given = _rows(
        controlnet_1="a",
        controlnet_strength_1=0.6,
        image_1=IMAGES[0],
        controlnet_2="b",
        switch_2="Off",
        image_2=IMAGES[1],
        controlnet_3="b",
    )
    before = [("None", IMAGES[0], 1.0, 0.0, 1.0), (nets["b"], IMAGES[1], 0.5, 0.2, 0.9)]
    stack, told = run("CR Multi-ControlNet Stack", controlnet_stack=before, **given)
    assert stack == [before[1], (nets["a"], IMAGES[0], 0.6, 0.0, 1.0)]
    assert told.endswith("cr-multi-controlnet-stack")
    base = {f"base_{name}": value for name, value in prompts().items()}
    on = run("CR Apply Multi-ControlNet", **base, switch="On", controlnet_stack=stack)
    off = run("CR Apply Multi-ControlNet", **base, switch="Off", controlnet_stack=stack)
    assert torch.equal(sampled(*on[:2]), by_core(*stack))
    assert torch.equal(sampled(*off[:2]), by_core())


def test_comfyroll_s_fields_may_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are optional, and what a list brings that is no entry is said where it acts."""
    monkeypatch.setattr(comfyroll, "loaded", lambda _: net(1))
    few = {"switch_1": "On", "controlnet_1": "a", "image_1": IMAGES[0]}
    (entry,), _ = run("CR Multi-ControlNet Stack", **few)
    assert entry[2:] == (1.0, 0.0, 1.0)
    assert run("CR Multi-ControlNet Stack")[0] == []
    for node, field in (
        ("CR Multi-ControlNet Stack", "controlnet_stack"),
        ("easy controlnetStack", "optional_controlnet_stack"),
    ):
        toggle = {"toggle": True, "mode": "simple", "num_controlnet": 1} if "easy" in node else {}
        strange = run(node, **toggle, **{field: [7, ("None", IMAGES[0], 1.0, 0.0, 1.0)]})[0]
        assert strange == [7]
    with pytest.raises(UserError, match="entry 1 of the stack: it is 7"):
        run("Apply ControlNet Stack", **prompts(), cnet_stack=strange)


def test_comfyroll_s_apply_leaves_the_negative_prompt() -> None:
    one = prompts()["positive"]
    given = {"control_net": net(1), "image": IMAGES[0], "strength": 0.8}
    applied, _ = run("CR Apply ControlNet", conditioning=one, switch="On", **given)
    (old,) = run("ControlNetApply", conditioning=one, **given)
    assert "control_apply_to_uncond" not in applied[0][1]
    negative = prompts()["negative"]
    alone = run("CR Apply ControlNet", conditioning=negative, switch="On", **given)[0]
    both = sampled(applied, alone)
    torch.testing.assert_close(both, sampled(old, negative), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(sampled(applied, negative), both)
    off, _ = run("CR Apply ControlNet", conditioning=one, switch="Off", **given)
    assert off is one


def test_easy_use_s_list_has_its_own_form() -> None:
    given = {"controlnet_1": "a", "controlnet_1_strength": 0.6, "image_1": IMAGES[0]}
    given |= {"start_percent_1": 0.2, "end_percent_1": 0.8, "scale_soft_weight_1": 1.0}
    asked = {"toggle": True, "num_controlnet": 2}
    (simple,) = run("easy controlnetStack", mode="simple", **asked, **given)
    (advanced,) = run("easy controlnetStack", mode="advanced", **asked, **given)
    assert [entry[:5] for entry in simple] == [("a", 0.6, 0.0, 1.0, 1.0)]
    assert [entry[:5] for entry in advanced] == [("a", 0.6, 0.2, 0.8, 1.0)]
    off = {"toggle": False, "num_controlnet": 1, "mode": "simple"}
    assert run("easy controlnetStack", **off, optional_controlnet_stack=simple) == (simple,)


@pytest.mark.parametrize(
    ("node", "given"),
    [
        ("CR Multi-ControlNet Stack", {"switch_2": "On", "controlnet_2": "gone"}),
        ("easy controlnetStack", {"toggle": True, "num_controlnet": 2, "controlnet_2": "gone"}),
        ("Efficient Loader", {"ckpt_name": "gone"}),
        ("Efficient Loader", {"vae_name": "gone"}),
    ],
)
def test_files_that_are_not_there_are_named(node: str, given: Any, place: Path) -> None:
    assert "'gone'" in PACK_NODES[node].VALIDATE_INPUTS(**given)
    assert PACK_NODES["CR Multi-ControlNet Stack"].VALIDATE_INPUTS(controlnet_2="gone") is True


def _lora_stack(**given: Any) -> Any:
    rows = {f"lora_name_{i}": "None" for i in range(1, 51)}
    return run("LoRA Stacker", **{**rows, **given})[0]


def test_loras_in_a_list() -> None:
    named = {"lora_name_1": "a", "lora_wt_1": 0.5, "model_str_1": 0.2, "clip_str_1": 0.3}
    later = {"lora_name_4": "b", "lora_wt_4": 1.0, "model_str_4": 1.0, "clip_str_4": 1.0}
    given = {**named, **later, "lora_stack": [("None", 1.0, 1.0), ("c", 1.0, 1.0)]}
    simple = _lora_stack(input_mode="simple", lora_count=3, **given)
    assert simple == [("a", 0.5, 0.5), ("c", 1.0, 1.0)]
    advanced = _lora_stack(input_mode="advanced", lora_count=4, **given)
    assert advanced == [("a", 0.2, 0.3), ("b", 1.0, 1.0), ("c", 1.0, 1.0)]


LOADER = {
    "ckpt_name": "demo",
    "vae_name": "Baked VAE",
    "clip_skip": -1,
    "lora_name": "None",
    "lora_model_strength": 1.0,
    "lora_clip_strength": 1.0,
    "positive": "a red ball",
    "negative": "grey",
    "token_normalization": "none",
    "weight_interpretation": "comfy",
    "empty_latent_width": 64,
    "empty_latent_height": 128,
    "batch_size": 1,
}
SAMPLING = {"seed": 5, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "karras"}


def test_efficiency_s_loader_and_sampler_are_the_core_s_nodes(place: Path) -> None:
    shown = {"preview_method": "auto", "vae_decode": "true (tiled)", "denoise": 1.0}
    wires = {"model": 0, "positive": 1, "negative": 2, "latent_image": 3, "optional_vae": 4}
    text = {"class_type": "CLIPTextEncode"}
    prompt: dict[str, Any] = {
        "1": {"class_type": "Efficient Loader", "inputs": LOADER},
        "2": {
            "class_type": "KSampler (Efficient)",
            "inputs": {**SAMPLING, **shown, **{name: ["1", n] for name, n in wires.items()}},
        },
        "3": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "demo"}},
        "4": {**text, "inputs": {"clip": ["3", 1], "text": "a red ball"}},
        "5": {**text, "inputs": {"clip": ["3", 1], "text": "grey"}},
        "6": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 64, "height": 128, "batch_size": 1},
        },
        "7": {
            "class_type": "KSampler",
            "inputs": {
                **SAMPLING,
                "denoise": 1.0,
                "model": ["3", 0],
                "positive": ["4", 0],
                "negative": ["5", 0],
                "latent_image": ["6", 0],
            },
        },
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["7", 0], "vae": ["3", 2]}},
        "9": {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}},
    }
    registry = default_registry()
    graph = read_workflow(prompt, registry, "test")
    validate(graph, registry)
    results = Executor(registry).run(graph)
    assert torch.equal(results.value("2", 3)["samples"], results.value("7")["samples"])
    torch.testing.assert_close(results.value("2", 5), results.value("8"), rtol=0, atol=1e-5)
    assert len(results.files("temp")) == 2


def test_what_efficiency_s_nodes_have_besides_is_refused() -> None:
    loader = PACK_NODES["Efficient Loader"]
    size = {"empty_latent_width": 16384, "empty_latent_height": 16384}
    many = loader.VALIDATE_INPUTS(**size, batch_size=262144)
    assert many.startswith("262144 latents for 16384 x 16384 pixels")
    assert loader.VALIDATE_INPUTS(**size) is True  # the batch comes through a link
    said = loader.VALIDATE_INPUTS(weight_interpretation="A1111")
    assert said.startswith("weight_interpretation is A1111, and prompts are read here by comfy")
    sampler = PACK_NODES["KSampler (Efficient)"]
    assert sampler.VALIDATE_INPUTS(scheduler="AYS SD1").startswith("scheduler is AYS SD1, which")
    assert sampler.VALIDATE_INPUTS(scheduler="karras") is True
    more = {"preview_method": "none", "vae_decode": "false", "latent_image": {}}
    with pytest.raises(UserError, match="its script"):
        sampler().run(script={"xyplot": 1}, **SAMPLING, **more)


def test_a_button_behind_a_seed_is_no_value() -> None:
    """That pack puts one where "control after generate" was, and it is saved as null."""
    fields = default_registry().spec("KSampler (Efficient)").widgets
    stored = [7, None, 30, 6.5, "dpmpp_2m", "karras", 0.8, "auto", "true"]
    read = widget_values(fields, stored, {})
    assert [read[field.name] for field in fields] == [7, *stored[2:]]
    plain = widget_values(fields, [7, "fixed", *stored[2:]], {})
    assert plain == read == widget_values(fields, [7, *stored[2:]], {})


@pytest.mark.parametrize(
    "node", ["Control Net Stacker", "CR Multi-ControlNet Stack", "CR Apply Multi-ControlNet"]
)
def test_conversion_knows_the_same_fields(node: str) -> None:
    fields = default_registry().spec(node).widgets
    assert {field.name: field.default for field in fields} == dict(FIELDS[node])
