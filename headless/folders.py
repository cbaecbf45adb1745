"""Where models, inputs and outputs lie: the embedded host's counterpart of `folder_paths`.

Every name that comes from a workflow is looked up inside a folder: `..` and absolute names are
refused. Links that lead elsewhere are followed in the folders of models, which their owner filled,
and refused in those of pictures, for reading and for writing.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from ..ground.atomic import write_free
from ..ground.errors import UserError
from ..ground.inputs import IMAGE_SUFFIXES
from ..ground.names import inner_name
from ..ground.not_found import not_found
from ..ground.places import require_place
from ..ground.wording import listing, one_line, shown

Kind: TypeAlias = Literal["output", "temp"]
"""Where a file is saved: among the results, or among what was only shown."""

# A kind of model, its name in sentences, and the folders under the models folder that hold it,
# ComfyUI's layout; `depth` and `controlstack` (the weights of hint networks) are ours.
KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "checkpoints": ("checkpoint", ("checkpoints",)),
    "diffusion_models": ("diffusion model", ("diffusion_models", "unet")),
    "text_encoders": ("text encoder", ("text_encoders", "clip")),
    "vae": ("VAE", ("vae",)),
    "loras": ("LoRA", ("loras",)),
    "upscale_models": ("upscale model", ("upscale_models",)),
    "embeddings": ("textual inversion", ("embeddings",)),
    "controlnet": ("ControlNet", ("controlnet", "t2i_adapter")),
    "model_patches": ("model patch", ("model_patches",)),
    "depth": ("depth model", ("depth",)),
    "controlstack": ("hint network", ("controlstack",)),
}
FILES = ("input", "output", "temp")
"""Kinds of files that workflows name beside models."""
PICTURE = "input file"
"""What sentences call a file of the input folders."""

MODEL_SUFFIXES = frozenset({".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin"})
# A folder with one of these files is a model in diffusers' (or transformers') own layout.
FOLDER_MARKS = ("model_index.json", "config.json")

# What Path.resolve raises for too long a name, a name of no text, and a loop of links.
_UNRESOLVABLE = (OSError, ValueError, RuntimeError)


@dataclass(frozen=True)
class Folders:
    """The folders of one run; earlier entries win.

    `aliases[kind][name]` puts a file of ours in the place of a model a workflow names.
    """

    models: tuple[Path, ...]
    input: tuple[Path, ...]
    output: Path
    temp: Path
    aliases: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)


def _default() -> Folders:
    here = Path.cwd()
    return Folders(
        models=(here / "models",),
        input=(here / "input",),
        output=here / "output",
        temp=Path(tempfile.gettempdir()) / "controlstack",
    )


_CURRENT: ContextVar[Folders] = ContextVar("controlstack_folders")


def current() -> Folders:
    """This context's folders; `models`, `input` and `output` of the working folder if unset."""
    return _CURRENT.get(None) or _default()


@contextmanager
def use(folders: Folders) -> Iterator[Folders]:
    """Work with `folders` inside the `with` block, and with the former ones after it."""
    token = _CURRENT.set(folders)
    try:
        yield folders
    finally:
        _CURRENT.reset(token)


def bases(kind: str) -> list[Path]:
    """The folders of a kind of model, there or not; earlier ones win."""
    return [root / sub for root in current().models for sub in KINDS[kind][1]]


def names(kind: str, endings: Collection[str] = MODEL_SUFFIXES) -> list[str]:
    """Every model of `kind` by the name a workflow gives it: files, diffusers folders, aliases; of
    other `endings` only what ends so."""
    found = set(current().aliases.get(kind, {}))
    for base in bases(kind):
        found.update(_models_in(base, endings))
    every = endings == MODEL_SUFFIXES
    return sorted(name for name in found if every or Path(name).suffix.lower() in endings)


def find(kind: str, name: str, endings: Collection[str] = MODEL_SUFFIXES) -> Path:
    """The file or diffusers folder of the model `name`.

    Raises UserError for a name that leaves its folder, and for one that is not there, with what
    there is of these `endings` and where it looked.
    """
    path = there(kind, name)
    if path is not None:
        return path
    there_is = names(kind, endings)
    raise _not_found(KINDS[kind][0], name, there_is, bases(kind), "put the file there")


def find_control(name: str) -> Path:
    """The control `name`: a ControlNet, or else a model patch. Raises as `find` does."""
    return there("controlnet", name) or there("model_patches", name) or find("controlnet", name)


def there(kind: str, name: str) -> Path | None:
    """The file or diffusers folder of the model `name`, None where there is none. Raises UserError
    for a name that leaves its folder."""
    alias = current().aliases.get(kind, {}).get(name)
    if alias is not None:
        return alias
    for base in bases(kind):
        path = inside(base, name, f"the {KINDS[kind][0]}", links=True)
        if path.is_file() or _is_model_folder(path):
            return path
    return None


def here(kind: str, name: str) -> Path | None:
    """As `there`, for what need not be a kind or a name at all: None also for a kind that is not
    among KINDS, and for a name that leaves its folder or that no folder can hold."""
    if kind not in KINDS:
        return None
    try:
        return there(kind, name)
    except UserError:
        return None


def input_names(suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[str]:
    """The pictures directly inside the input folders, or the files with other `suffixes`."""
    return _files_in(current().input, suffixes)


def output_names() -> list[str]:
    """The pictures directly inside the folder of results."""
    return _files_in((current().output,), IMAGE_SUFFIXES)


def _files_in(bases: Iterable[Path], suffixes: Collection[str]) -> list[str]:
    found = {
        path.name
        for base in bases
        if base.is_dir()
        for path in base.iterdir()
        if path.suffix.lower() in suffixes and path.is_file() and _stays(base, path)
    }
    return sorted(found)


def find_input(name: str, suffixes: Collection[str] = IMAGE_SUFFIXES) -> Path:
    """The file an input names; see `find_file` for what may stand behind it.

    Raises UserError for a name that leaves its folder or is not there, with the pictures that are,
    or the files with other `suffixes`.
    """
    path = find_file(name)
    if path is not None:
        return path
    bare, kind = _unmarked(name, "input")
    mend = f"put the {'picture' if suffixes is IMAGE_SUFFIXES else 'file'} there"
    raise _not_found(PICTURE, bare, input_names(suffixes), places(kind), mend)


def find_file(name: str, kind: str = "input", subfolder: str = "") -> Path | None:
    """The file `name` of a kind, None where it is not there; " [input]", " [output]" or " [temp]"
    behind it says another kind, as in the core.

    Raises UserError where it would leave its folder, by itself or through a link, and for a kind
    that there is not.
    """
    bare, kind = _unmarked(name, kind)
    if subfolder:
        inner_name(bare, f"the {kind} file", subfolder)
        bare = f"{subfolder}/{bare}"
    for base in places(kind):
        path = inside(base, bare, f"the {kind} file")
        if path.is_file():
            return path
    return None


def places(kind: str) -> tuple[Path, ...]:
    """The folders of a kind of file, one of FILES; UserError for another."""
    now = current()
    known = dict(zip(FILES, (now.input, (now.output,), (now.temp,)), strict=True))
    if kind not in known:
        raise UserError(f"there is no type {shown(kind)}; there are {', '.join(FILES)}")
    return known[kind]


def _unmarked(name: str, kind: str) -> tuple[str, str]:
    """A name without the kind in brackets that it may end in, and the kind."""
    found = next((known for known in FILES if name.endswith(f"[{known}]")), None)
    return (name.removesuffix(f"[{found}]").rstrip(" "), found) if found else (name, kind)


def _not_found(
    what: str, name: str, there: Sequence[str], places: Sequence[Path], mend: str
) -> UserError:
    sentence = (
        f"there is no {what} {shown(name)}: there is {listing(there)} in {listing(places)}; "
        f"{mend}, or name another"
    )
    return not_found(sentence, what, name, there, places)


def inside(base: Path, name: str, what: str, links: bool = False) -> Path:
    """`base / name`, refused with a UserError where it would leave `base`.

    With `links` a link may lead elsewhere. A workflow made on Windows writes `sub\\name`; it means
    the same as `sub/name` here.
    """
    path = base.joinpath(inner_name(name, what, base))
    try:
        stays = path.resolve().is_relative_to(base.resolve())
        path.exists()  # raises for too long a name, which resolve does not
    except _UNRESOLVABLE as error:
        raise UserError(
            f"{what} {shown(name)} cannot be looked up in {base}: {_reason(error)}"
        ) from error
    if not (stays or links):
        raise UserError(
            f"{what} {shown(name)} is a link that leaves {base}; copy the file there, or name the "
            "folder it lies in as a folder of its own"
        )
    return path


def root(kind: Kind) -> Path:
    """The folder of saved pictures, or of those that were only shown."""
    return current().output if kind == "output" else current().temp


def save(kind: Kind, prefix: str, data: bytes, suffix: str = ".png") -> Path:
    """Write `data` as the next free `<prefix>_00001_.png` of a folder, and return its name.

    The number is one more than the highest that files of this prefix have, whatever their `suffix`,
    as the core counts, and the first above it that no other process takes. `prefix` may name a
    folder (`a/b`), which is made. Raises UserError where it leaves the folder or cannot be written.
    """
    stem = check_prefix(kind, prefix, suffix)
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        taken = [_counter(entry.name, stem.name) for entry in stem.parent.iterdir()]
    except OSError as error:
        raise UserError(f"cannot write in {stem.parent}: {_reason(error)}") from error
    path = write_free(
        (_numbered(stem, n, suffix) for n in itertools.count(max(taken, default=0) + 1)), data
    )
    if (saved := _SAVED.get()) is not None:
        saved[kind].append(path)
    return path


def check_prefix(kind: Kind, prefix: str, suffix: str = ".png") -> Path:
    """Where files of `prefix` and `suffix` go, without making anything; raises UserError where it
    leaves its folder or cannot be written.
    """
    base = root(kind)
    if one_line(prefix) != prefix:
        raise UserError(
            f"the filename_prefix {shown(prefix)} holds characters that no file name should have, "
            "such as line breaks; take them out"
        )
    require_place(base, "the folder for pictures", folder=True)
    stem = inside(base, prefix, "the filename_prefix")
    require_place(_numbered(stem, 1, suffix), "the file")
    return stem


_SAVED: ContextVar[dict[Kind, list[Path]] | None] = ContextVar("controlstack_saved", default=None)


@contextmanager
def saving() -> Iterator[dict[Kind, list[Path]]]:
    """The files saved inside the block, in order, also where it ends with an error."""
    saved: dict[Kind, list[Path]] = {"output": [], "temp": []}
    token = _SAVED.set(saved)
    try:
        yield saved
    finally:
        _SAVED.reset(token)


def _numbered(stem: Path, number: int, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}_{number:05}_{suffix}")


def _models_in(base: Path, endings: Collection[str]) -> Iterator[str]:
    """Links to folders are followed; a folder that was seen is not opened again, so that links in a
    circle end.
    """
    seen = {os.path.realpath(base)}
    for folder, subfolders, files in os.walk(base, followlinks=True):
        here = Path(folder)
        models = [sub for sub in subfolders if _is_model_folder(here / sub)]
        models += [name for name in files if _is_model_file(here / name, endings)]
        for name in models:
            yield (here / name).relative_to(base).as_posix()
        # What lies inside a diffusers folder is part of that model, not a model of its own.
        others = [sub for sub in subfolders if sub not in models and sub != ".git"]
        subfolders.clear()
        for sub in sorted(others, key=lambda sub: ((here / sub).is_symlink(), sub)):
            if (real := os.path.realpath(here / sub)) not in seen:
                seen.add(real)
                subfolders.append(sub)


def _is_model_file(path: Path, endings: Collection[str]) -> bool:
    return path.suffix.lower() in endings and path.is_file()


def _is_model_folder(path: Path) -> bool:
    return any((path / mark).is_file() for mark in FOLDER_MARKS)


def _stays(base: Path, path: Path) -> bool:
    try:
        return path.resolve().is_relative_to(base.resolve())
    except _UNRESOLVABLE:
        return False


def _counter(name: str, stem: str) -> int:
    """The number in `<stem>_<number>_...`; 0 for a file of another prefix, as the core counts."""
    head, rest = name[: len(stem)], name[len(stem) :]
    digits = rest[1:].split("_")[0]
    same = os.path.normcase(head) == os.path.normcase(stem) and rest.startswith("_")
    return int(digits) if same and digits.isascii() and digits.isdigit() else 0


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
