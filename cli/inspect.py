"""`controlstack inspect WORKFLOW`: what a workflow is made of, and what of it runs here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..ground.errors import UserError
from ..ground.garbage import uncollected
from ..ground.parameters import OVERWRITE, setting
from .options import command_of
from .places import PlaceOptions
from .plan import STDOUT
from .say import note, say

if TYPE_CHECKING:
    from ..headless.overview.overview import Overview
    from ..headless.overview.reach import Reach

ENDINGS = frozenset({".json", ".png"})


@dataclass(frozen=True, kw_only=True)
class InspectOptions:
    """The command's arguments and options."""

    workflows: tuple[str, ...] = setting(
        MISSING,
        "JSON as saved or as sent (API), or a PNG that holds one; folders and globs of them have a "
        "line each.",
        metavar="WORKFLOW...",
        argument=True,
    )
    json: Path | None = setting(
        None, "Write the data as JSON; - is standard output.", metavar="FILE"
    )
    places: PlaceOptions = field(default_factory=PlaceOptions)
    overwrite: bool = setting(False, OVERWRITE)


def _inspect(options: InspectOptions) -> None:
    """Say of workflows what they are made of: family, models with their links, controls, samplers,
    nodes by pack; and what of it runs here.

    No model is loaded, and none has to be there.
    """
    with uncollected():
        _look(options)


inspect_command = command_of(InspectOptions, _inspect)


def _look(options: InspectOptions) -> None:
    from ..ground.inputs import files_of
    from ..ground.ours import Results

    files = files_of(options.workflows, ENDINGS)
    results = Results(list(files), options.overwrite)
    if options.json not in (None, STDOUT):
        results.expect(options.json)
    alone = len(options.workflows) == 1 and files == (Path(options.workflows[0]),)
    found = [_overview(file, options, alone) for file in files]
    data: dict[str, Any] = found[0].json() if alone else {"workflows": [o.json() for o in found]}
    lines = list(_words(found[0])) if alone else []
    if not alone:
        from ..headless.overview.reach import reach_of

        reach = reach_of(found)
        data["reach"] = reach.json()
        lines = [*_each(found), *_counted(reach)]
    if options.json is None:
        for line in lines:
            say(line)
        for words in found[0].notes if alone else ():
            note(words)
        return
    from ..ground.ours import MARKED

    text = json.dumps({**MARKED, **data}, indent=2)
    if options.json == STDOUT:
        for line in text.splitlines():
            say(line)
    else:
        results.write(options.json, f"{text}\n".encode())
        say(options.json)


def _overview(file: Path, options: InspectOptions, alone: bool) -> Overview:
    from ..headless.graph.workflow import read_document

    try:
        document = read_document(file)  # before torch is imported
    except UserError as error:
        if alone:
            raise
        from ..headless.overview.overview import nothing_of

        return nothing_of(str(file), error)
    from ..headless import host
    from ..headless.graph.registry import default_registry
    from ..headless.overview.overview import overview_of

    with host.use(options.places.folders(file, Path("output"))):
        return overview_of(document, default_registry())


def _words(one: Overview) -> Iterator[str]:
    """All that there is to say of one workflow."""
    from ..headless.overview.reach import WORDS, pack_words

    yield f"{one.source}: {WORDS[one.status]}"
    for words in one.why:
        yield f"  {words}"
    if one.status == "nothing":
        return
    name = one.family.name or "not told"
    yield f"family: {name} (by {one.family.by})" if one.family.name else f"family: {name}"
    for size in one.sizes:
        yield f"picture: {size}"
    yield "models:" if one.files else "models: none are named"
    for file in one.files:
        here = "here" if file.here else "not here" + (f", from {file.url}" if file.url else "")
        yield f"  {file.kind} {file.name}: {here}"
    if one.pictures:
        yield f"pictures that are not here: {', '.join(one.pictures)}"
    for words in one.networks:
        yield f"hint network: {words}"
    for node, timeline in one.plan.timelines if one.plan is not None else ():
        more = f", {one.samplers[node.id]}" if one.samplers[node.id] else ""
        yield f"{timeline.title}{more}"
        for line in timeline.lines:
            acts = line.words if line.active else f"no step: {line.silent}"
            yield f"  {line.name}: {', '.join(line.settings)}; {acts}"
        if not timeline.lines:
            yield "  no control acts here"
    for pack, types in one.nodes.items():
        counted = (f"{kind} x{count}" if count > 1 else kind for kind, count in types.items())
        yield f"nodes of {pack_words(pack)}: {', '.join(counted)}"
    if one.asleep:
        yield f"muted or bypassed: {one.asleep} node{'s' if one.asleep > 1 else ''}"


def _each(found: Sequence[Overview]) -> Iterator[str]:
    from ..headless.overview.reach import line_of

    for one in found:
        yield f"{one.source}: {line_of(one).removeprefix(f'{one.source} ')}"


def _counted(reach: Reach) -> Iterator[str]:
    from ..headless.overview.reach import WORDS, pack_words

    yield ""
    yield f"{reach.total} workflows"
    for status, count in reach.statuses.items():
        yield f"  {count:4} {WORDS[status]}"
    families = ", ".join(f"{name or 'not told'} {n}" for name, n in reach.families.items())
    yield f"families: {families}"
    for pack, one in reach.packs.items():
        types = [f"{kind} {count}" for kind, count in one.types.items()]
        more = f" and {len(types) - 12} more" if len(types) > 12 else ""
        alone = f" ({one.alone} lack no other)" if one.alone else ""
        where = f"lacking of {pack_words(pack)} in {one.workflows}{alone}"
        yield f"{where}: {', '.join(types[:12])}{more}"
