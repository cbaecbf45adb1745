"""A class that stands for another until something is asked of it."""

import pytest

from controlstack.nodes.lazy_node import lazy_node


def test_it_is_made_once_and_only_when_asked() -> None:
    made: list[int] = []

    class Node:
        RETURN_TYPES = ("IMAGE",)

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, str]:
            return {"required": cls.__name__}

        def run(self) -> int:
            return 7

    def make() -> type:
        made.append(1)
        return Node

    stand_in = lazy_node("A title", make)
    stand_in.RELATIVE_PYTHON_MODULE = "custom_nodes.here"  # as ComfyUI marks every class
    assert stand_in.RELATIVE_PYTHON_MODULE == "custom_nodes.here"
    assert isinstance(stand_in, type)
    assert not made
    assert stand_in.RETURN_TYPES == ("IMAGE",)
    assert stand_in.INPUT_TYPES() == {"required": "Node"}
    assert isinstance(stand_in(), Node)
    assert stand_in().run() == 7
    assert not hasattr(stand_in, "OUTPUT_NODE")
    with pytest.raises(AttributeError, match="INPUT_IS_LIST"):
        _ = stand_in.INPUT_IS_LIST
    assert made == [1]
