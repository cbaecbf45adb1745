"""Names of files: those that come out of shared files (workflows, data sets, settings), and those
that people give.
"""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

from .errors import UserError
from .wording import shown


def without_ending(name: str, ending: str) -> str:
    """`name` without `ending`, in whatever letters, where it is more than that."""
    bare = name[: -len(ending)]
    return bare if bare and name.lower().endswith(ending) else name


def require_bare_name(name: str, whose: str) -> None:
    """Raise UserError for a name that is none, or would leave its folder; `whose` ("a preset's")
    says what it names."""
    wrong = set(name) & set('/\\:*?"<>|') or not name.isprintable()
    if not name.strip() or wrong or name.startswith("."):
        raise UserError(f"{name!r} cannot be {whose} name: use letters, digits, spaces, - and _.")


def inner_name(name: str, what: str, base: object) -> PurePosixPath:
    """The relative path that `name` means inside the folder `base`.

    A file made on Windows writes `sub\\name`; it means the same as `sub/name`, on every system.
    Raises UserError, which calls it `what`, for a name that is empty or leaves the folder by
    itself: with "..", absolute, or with a drive. Links are not looked at.
    """
    parts = PurePosixPath(name.replace("\\", "/"))
    if not parts.parts or "\0" in name:
        raise UserError(f"{what} {shown(name)} is no file name; give the name of a file in {base}")
    if parts.is_absolute() or ".." in parts.parts or PureWindowsPath(name).drive:
        raise UserError(
            f"{what} {shown(name)} leaves its folder; give a name inside {base}, without '..' and "
            "without a leading '/'"
        )
    return parts
