"""A file as a MODEL_PATCH, by ComfyUI's own node. Imported in ComfyUI's process only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from ...ground.errors import UserError
from ...model_files.kinds import MODEL_PATCHES, Kind

LOADER = "ModelPatchLoader"
_LOADING = Lock()


def require_known(path: Path, kind: Kind | None) -> None:
    """Raise UserError where this ComfyUI has no node that loads model patches, or none that takes
    this kind: then its loader does not know the kind either."""
    import nodes

    words = "a model patch" if kind is None else kind.words
    for node in (LOADER, "" if kind is None else kind.node):
        if node and node not in nodes.NODE_CLASS_MAPPINGS:
            raise UserError(
                f"{path} is {words}, which this ComfyUI is too old for: it has no node {node}; "
                "update ComfyUI."
            )


def load(path: Path) -> Any:
    """The MODEL_PATCH of a file, wherever it lies. What the node raises is the caller's to say."""
    import nodes

    loader = nodes.NODE_CLASS_MAPPINGS[LOADER]
    with _found_by_name(path):
        return getattr(loader(), loader.FUNCTION)(path.name)[0]


@contextmanager
def _found_by_name(path: Path) -> Iterator[None]:
    """Let the node, which takes a name in the folder of model patches, find this very file.

    Its folder comes first among them for the time being, in a list of its own: other threads may
    be going through the one there is. ComfyUI keeps lists of names; what it made of them meanwhile
    is dropped.
    """
    import folder_paths

    known = folder_paths.folder_names_and_paths
    with _LOADING:
        before = known[MODEL_PATCHES]
        known[MODEL_PATCHES] = ([str(path.parent), *before[0]], *before[1:])
        try:
            yield
        finally:
            known[MODEL_PATCHES] = before
            folder_paths.filename_list_cache.pop(MODEL_PATCHES, None)
