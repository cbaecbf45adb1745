"""Published weights brought to this machine, when a user says so: whole and checked, or not at all.

The one module of the package that asks the network for anything. It asks through huggingface_hub,
so that HF_ENDPOINT, HF_TOKEN, proxies and HF_HUB_OFFLINE mean what they mean elsewhere.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..ground.errors import UserError
from ..ground.progress import Progress, Steps, unseen
from .spec import Weights
from .weights import below

log = logging.getLogger("controlstack")


STEPS = 100
"""Steps of a file's progress: per cent."""


def download(weights: Weights, target: Path, progress: Progress | None = None) -> tuple[Path, ...]:
    """Fetch `weights` into `target / name`: all files, each with the right checksum, or none.

    Returns the folder of a model in transformers' layout, else the files in order. A file is
    compared with its published sha256, or where none is known with the sum that the hub states;
    the log says which. Raises UserError, one sentence, for all that goes wrong, and whatever
    `progress` raises to stop it.
    """
    folder = below(target, weights.name)
    finals = {file: below(folder, file) for file in weights.files}
    order = _Order(weights, folder, _hub(weights, folder))
    begin = progress or unseen
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".download-", dir=target, ignore_cleanup_errors=True
        ) as staging:
            stated = {file: order.facts(file) for file in weights.files}  # all are there: then load
            for file, facts in stated.items():
                order.compare(file, order.fetch(file, facts, Path(staging), begin), facts)
            for file, final in finals.items():
                final.parent.mkdir(parents=True, exist_ok=True)
                Path(staging, file).replace(final)
    except OSError as error:
        raise UserError(
            f"{weights.name} cannot be written to {folder} ({error.strerror or error}): make room "
            "there, or choose a folder that can be written."
        ) from error
    return (folder,) if weights.is_folder else tuple(finals.values())


@dataclass(frozen=True)
class _Facts:
    """What the hub states about a file."""

    url: str
    commit: str | None
    etag: str | None
    size: int | None


@dataclass(frozen=True)
class _Order:
    """A download to make: `weights` into `folder`, through huggingface_hub."""

    weights: Weights
    folder: Path
    hub: Any

    def facts(self, file: str) -> _Facts:
        url = self.hub.hf_hub_url(self.weights.repo, file)
        try:
            stated = self.hub.get_hf_file_metadata(url)
        except Exception as error:  # the hub's, its HTTP client's and the system's, by version
            raise self._failed(url, error) from error
        return _Facts(url, stated.commit_hash, stated.etag, stated.size)

    def fetch(self, file: str, facts: _Facts, staging: Path, begin: Progress) -> Path:
        with begin(STEPS, f"downloading {Path(file).name}{_in_words(facts.size)}") as bar:
            meter = _Meter(bar, facts.size or 0)
            # Older hubs cannot report; they draw their own bar on the terminal.
            reports = "tqdm_class" in inspect.signature(self.hub.hf_hub_download).parameters
            try:
                self.hub.hf_hub_download(
                    self.weights.repo,
                    file,
                    revision=facts.commit,
                    local_dir=staging,
                    **({"tqdm_class": meter.bar_class()} if reports else {}),
                )
            except Exception as error:
                if error is meter.stopped:
                    raise
                raise self._failed(facts.url, error) from error
            meter.reached(meter.total)
        return staging / file

    def compare(self, file: str, path: Path, facts: _Facts) -> None:
        """Raise UserError unless `path` has the checksum that `file` shall have."""
        published = self.weights.sha256.get(file)
        expected = published or facts.etag or ""
        source = "the published" if published else "the hub's own"
        if re.fullmatch("[0-9a-f]{64}", expected):
            name, found = "sha256", _digest(path, hashlib.sha256())
        elif re.fullmatch("[0-9a-f]{40}", expected):  # a small file, by its name in git
            header = f"blob {path.stat().st_size}\0".encode()
            name, found = "git sum", _digest(path, hashlib.sha1(header))
        else:
            log.warning("%s: no checksum is known, so none was compared.", path.name)
            return
        if found != expected:
            raise UserError(
                f"{facts.url} has the {name} {found}, but {source} one is {expected}: it was "
                "cut off or is another file, so it was not kept; try again later."
            )
        log.info("%s has the right %s (%s one): %s", path.name, name, source, found)

    def _failed(self, url: str, error: Exception) -> UserError:
        return UserError(
            f"{url} could not be downloaded ({_reason(error)}): try again later, or put the file "
            f"into {self.folder} by hand."
        )


class _Meter:
    """Turns bytes into per cent of `bar`, and remembers what stopped it."""

    def __init__(self, bar: Steps, total: int) -> None:
        self.total = total
        self.stopped: BaseException | None = None
        self._bar = bar
        self._steps = 0

    def reached(self, done: int) -> None:
        """`done` bytes of the file are here."""
        due = min(STEPS, STEPS * done // self.total) if self.total else 0
        try:
            if self.stopped is not None:  # told to a thread that did not listen
                raise self.stopped
            while self._steps < due:
                self._steps += 1
                self._bar.advance()
        except BaseException as error:
            self.stopped = error
            raise

    def bar_class(self) -> type:
        """What huggingface_hub takes for a class of tqdm: each file's bytes go to `reached`."""
        reached = self.reached

        class Bytes:
            def __init__(self, *_: object, initial: int = 0, **options: Any) -> None:
                self.n, self.total = initial, options.get("total")

            def __enter__(self) -> Bytes:
                return self

            def __exit__(self, *_: object) -> None:
                return None

            def update(self, n: float = 1) -> None:
                self.n += int(n)
                reached(self.n)

            def unused(self, *_: object, **__: object) -> None:
                return None

            # The second one is of bytes on the wire, which may be fewer than the file has.
            close = update_transfer = set_postfix_str = set_transfer_postfix_str = refresh = unused

        return Bytes


def _hub(weights: Weights, folder: Path) -> Any:
    """The module huggingface_hub. Raises UserError where it is missing or told to stay offline."""
    by_hand = f"put the files of {weights.name} into {folder} by hand"
    try:
        import huggingface_hub
        from huggingface_hub import constants
    except ImportError as error:
        raise UserError(
            f"Downloads need huggingface_hub, which cannot be imported here ({error}): install it "
            f"(python -m pip install huggingface_hub), or {by_hand}."
        ) from error
    if constants.HF_HUB_OFFLINE:
        raise UserError(f"HF_HUB_OFFLINE is set, so nothing is downloaded: unset it, or {by_hand}.")
    return huggingface_hub


def _digest(path: Path, sum_so_far: Any) -> str:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sum_so_far.update(block)
    return str(sum_so_far.hexdigest())


def _in_words(size: int | None) -> str:
    if not size:
        return ""
    return f" ({size / 1e6:.0f} MB)" if size >= 1e6 else f" ({size / 1e3:.0f} kB)"


def _reason(error: Exception) -> str:
    """Why a download failed, in a line."""
    match getattr(getattr(error, "response", None), "status_code", None):
        case 404:
            return "404, it is not there"
        case 401 | 403 as status:
            return f"{status}, it is not there or asks for a login: hf auth login"
        case _:
            cause = error.__cause__ or error
            return (str(cause).strip().splitlines() or [type(cause).__name__])[0][:200]
