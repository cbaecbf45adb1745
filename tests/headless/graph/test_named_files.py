"""Which files of models a graph names, as the classes of its nodes say it."""

from __future__ import annotations

from typing import Any

import pytest

from controlstack.demo.models import CONTROL_NETS
from controlstack.ground.errors import UserError
from controlstack.headless.graph.given_nets import with_nets
from controlstack.headless.graph.model import Graph, Link, Node
from controlstack.headless.graph.named_files import named_files, net_file
from controlstack.headless.graph.registry import default_registry

REGISTRY = default_registry()
NET = CONTROL_NETS["canny"]
CR = "CR Multi-ControlNet Stack"


def graph_of(**nodes: tuple[str, dict[str, Any]]) -> Graph:
    return Graph({key: Node(key, kind, inputs) for key, (kind, inputs) in nodes.items()})


def test_every_menu_of_model_files_is_one_that_its_class_names() -> None:
    """A file's kind is the folder that its menu lists; words for none stand before the files."""
    listed = {
        (node, name)
        for node in REGISTRY
        for name, one in REGISTRY.spec(node).inputs.items()
        if one.is_choice and (name.endswith("_name") or name in ("cnet", "name"))
    }
    said = {(node, name) for node in REGISTRY for name in REGISTRY.model_files(node)}
    others = {"sampler_name", "config_name", "scheduler_name"}
    missing = {(node, name) for node, name in listed - said if name not in others}
    # comfyui_controlnet_aux's are networks for hints, which are no models of ComfyUI's.
    assert {node for node, _ in missing} <= {
        "DepthAnythingPreprocessor",
        "DepthAnythingV2Preprocessor",
    }


def test_files_and_words_for_none() -> None:
    graph = graph_of(
        a=("Efficient Loader", {"ckpt_name": "x", "vae_name": "Baked VAE", "lora_name": "None"}),
        b=("LoraLoader", {"lora_name": "y", "model": Link("a", 0)}),
        c=("Unknown", {"ckpt_name": "z"}),
        d=("ControlStackRows", {"controls": {"rows": [{"file": "n"}, {"file": ""}, 3]}}),
        e=("VAELoader", {"vae_name": Link("c", 0)}),
    )
    found = [(one.node.id, one.input, one.kind, one.name) for one in named_files(graph, REGISTRY)]
    assert found == [
        ("a", "ckpt_name", "checkpoints", "x"),
        ("b", "lora_name", "loras", "y"),
        ("d", "controls", "controlnet", "n"),
    ]


def test_a_net_s_file_is_found_behind_what_changes_it() -> None:
    graph = graph_of(
        net=("ACN_ControlNetLoaderAdvanced", {"cnet": "n"}),
        union=("SetUnionControlNetType", {"control_net": Link("net", 0), "type": "auto"}),
        loop=("SetUnionControlNetType", {"control_net": Link("loop", 0)}),
    )
    assert net_file(graph, REGISTRY, Link("union", 0)) == "n"
    assert net_file(graph, REGISTRY, Link("loop", 0)) == ""
    assert net_file(graph, REGISTRY, Link("gone", 0)) == net_file(graph, REGISTRY, "n") == ""


def test_a_net_that_is_given_goes_where_a_pack_s_loader_names_one() -> None:
    graph = graph_of(net=("ACN_ControlNetLoaderAdvanced", {"cnet": "n"}))
    given = with_nets(graph, REGISTRY, [str(NET)])
    assert given.graph.nodes["net"].inputs == {"cnet": NET.name}
    assert given.places == {NET.name: NET}
    rows = graph_of(rows=("ControlStackRows", {"controls": {"rows": [{"file": "n"}]}}))
    with pytest.raises(UserError, match="no node of this workflow loads a ControlNet"):
        with_nets(rows, REGISTRY, [str(NET)])
    with pytest.raises(UserError, match=r"\(ControlStackRows\) loads no ControlNet by its name"):
        with_nets(rows, REGISTRY, [f"rows={NET}"])


def test_of_several_inputs_of_a_node_one_is_named() -> None:
    one = graph_of(s=(CR, {"controlnet_1": "None", "controlnet_2": "n"}))
    given = with_nets(one, REGISTRY, [str(NET)])
    assert given.graph.nodes["s"].inputs == {"controlnet_1": "None", "controlnet_2": NET.name}
    two = graph_of(s=(CR, {"controlnet_1": "m", "controlnet_2": "n"}))
    with pytest.raises(UserError, match=r"at controlnet_1, controlnet_2; .*s\.controlnet_1=PATH"):
        with_nets(two, REGISTRY, [str(NET)])
    with pytest.raises(UserError, match=r"controlnet_2, controlnet_3; .*such as s\.controlnet_1="):
        with_nets(two, REGISTRY, [f"s={NET}"])
    given = with_nets(two, REGISTRY, [f"s.controlnet_2={NET}"])
    assert given.graph.nodes["s"].inputs == {"controlnet_1": "m", "controlnet_2": NET.name}
