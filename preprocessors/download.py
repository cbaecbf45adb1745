"""Published weights brought to this machine, when a user says so: whole and checked, or not at all.

The one module of the package that asks the network for anything. It asks through huggingface_hub,
so that HF_ENDPOINT, HF_TOKEN, proxies and HF_HUB_OFFLINE mean what they mean elsewhere.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..ground.errors import UserError
from ..ground.log import log
from ..ground.progress import Progress, unseen
from ..ground.wording import size_in_words
from .download_transfer import STEPS, LoadError, TooLargeError, Transfer
from .spec import Weights
from .weights import below

ROOM = 16_000_000
"""Bytes that a file may have beyond twice of what its model was published with."""


def download(weights: Weights, target: Path, progress: Progress | None = None) -> tuple[Path, ...]:
    """Fetch `weights` into `target / name`: all files, each with the right checksum, or none.

    Returns the folder of a model in transformers' layout, else the files in order. A file is
    compared with its published sha256, or where none is known with the sum that the hub states;
    the log says which. Raises UserError, one sentence, for all that goes wrong: also for a file
    without any sum, for one far larger than it was published, and where nothing comes for
    minutes; and whatever `progress` raises to stop it.
    """
    folder = below(target, weights.name)
    finals = {file: below(folder, file) for file in weights.files}
    request = _Request(weights, folder, _hub(weights, folder))
    begin = progress or unseen
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".download-", dir=target, ignore_cleanup_errors=True
        ) as staging:
            # All are there, of a known sum and a sane size: then load.
            stated = {file: request.facts(file) for file in weights.files}
            sums = {file: request.expected(file, facts) for file, facts in stated.items()}
            for file, facts in stated.items():
                _compare(request.fetch(file, facts, Path(staging), begin), facts.url, sums[file])
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
class _Request:
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
        if (stated.size or 0) > self.most:
            raise self._too_large(url, stated.size, self.most)
        return _Facts(url, stated.commit_hash, stated.etag, stated.size)

    @property
    def most(self) -> int:
        """The most bytes that a file may have."""
        return 2_000_000 * self.weights.megabytes + ROOM

    def expected(self, file: str, facts: _Facts) -> _Sum:
        """The sum that `file` shall have. Raises UserError where nobody states one."""
        published = self.weights.sha256.get(file)
        value = published or facts.etag or ""
        whose = "published" if published else "hub's own"
        if re.fullmatch("[0-9a-f]{64}", value):
            return _Sum("sha256", value, whose)
        if re.fullmatch("[0-9a-f]{40}", value):  # a small file, by its name in git
            return _Sum("git sum", value, whose)
        raise UserError(
            f"{facts.url} comes without a checksum, and none is published, so it was not "
            f"downloaded: put the file into {self.folder} by hand where you trust it"
        )

    def fetch(self, file: str, facts: _Facts, staging: Path, begin: Progress) -> Path:
        transfer = Transfer(facts.size or self.most)
        # Older hubs cannot report; they draw their own bar on the terminal.
        reports = "tqdm_class" in inspect.signature(self.hub.hf_hub_download).parameters
        more = {"tqdm_class": transfer.bar_class()} if reports else {}

        def load() -> None:
            self.hub.hf_hub_download(
                self.weights.repo, file, revision=facts.commit, local_dir=staging, **more
            )

        with begin(STEPS, f"downloading {Path(file).name}{_in_words(facts.size)}") as bar:
            try:
                transfer.run(load, bar, watched=reports)
            except TooLargeError as error:
                raise self._too_large(facts.url, transfer.done, transfer.total) from error
            except LoadError as error:
                raise self._failed(facts.url, error.reason) from error.reason
        return staging / file

    def _too_large(self, url: str, size: int, most: int) -> UserError:
        return UserError(
            f"{url} has {size_in_words(size)} or more, where at most {size_in_words(most)} "
            f"were to be expected, so it was not kept: put the file into {self.folder} by hand "
            "where you trust it"
        )

    def _failed(self, url: str, error: Exception) -> UserError:
        return UserError(
            f"{url} could not be downloaded ({_reason(error)}): try again later, or put the file "
            f"into {self.folder} by hand."
        )


@dataclass(frozen=True)
class _Sum:
    """A checksum: its kind, its value, and `whose` it is."""

    name: str
    value: str
    whose: str


def _compare(path: Path, url: str, expected: _Sum) -> None:
    """Raise UserError unless the file has its checksum."""
    header = f"blob {path.stat().st_size}\0".encode()
    algorithm = hashlib.sha256() if expected.name == "sha256" else hashlib.sha1(header)
    found = _digest(path, algorithm)
    if found != expected.value:
        raise UserError(
            f"{url} has the {expected.name} {found}, but the {expected.whose} one is "
            f"{expected.value}: it was cut off or is another file, so it was not kept; try again "
            "later."
        )
    log.info(
        "%s has the right %s (the %s one): %s", path.name, expected.name, expected.whose, found
    )


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
