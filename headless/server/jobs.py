"""Jobs as the newer front ends list them: what waits, runs and has ended, in one form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...ground.errors import UserError
from .history import Past
from .queue import Job
from .telling import Telling

STATES = ("pending", "in_progress", "completed", "failed", "cancelled")
ENDS = {
    "execution_success": "completed",
    "execution_error": "failed",
    "execution_interrupted": "cancelled",
}
SEEN = ("images", "video", "audio", "3d", "text")
"""What a node's `ui` holds that the front end can show."""
SORTED_BY = ("created_at", "execution_duration")

Told = dict[str, Any]


def waiting(job: Job, state: str) -> Told:
    """A job that has not ended."""
    return _without_none(
        {
            "id": job.id,
            "status": state,
            "priority": job.number,
            "create_time": job.created,
            "outputs_count": 0,
            "previewable_outputs_count": 0,
            "workflow_id": job.workflow,
        }
    )


def summary(job: Job, telling: Telling) -> Told:
    """A job that has ended, by what was told of it."""
    times = {kind: data["timestamp"] for kind, data in telling.messages}
    kind, last = telling.messages[-1]
    shown = list(_shown(telling.outputs))
    return _without_none(
        {
            **waiting(job, ENDS[kind]),
            "execution_start_time": times["execution_start"],
            "execution_end_time": last["timestamp"],
            "execution_error": last if kind == "execution_error" else None,
            "outputs_count": len(shown),
            "previewable_outputs_count": sum(one["mediaType"] in SEEN for one in shown),
            "preview_output": _preview(shown),
        }
    )


def whole(past: Past, entry: Mapping[str, Any]) -> Told:
    """A job that has ended with its outputs and what it was made from; `entry` is its history."""
    _, _, prompt, extra, _ = entry["prompt"]
    return {
        **past.summary,
        "outputs": entry["outputs"],
        "execution_status": entry["status"],
        "workflow": {"prompt": prompt, "extra_data": extra},
    }


def page(
    running: Job | None, queued: Sequence[Job], past: Sequence[Past], query: Mapping[str, str]
) -> Told:
    """The answer to a list of jobs. Raises UserError for what the query asks wrongly."""
    states = _states(query.get("status", ""))
    by, order = query.get("sort_by", SORTED_BY[0]).lower(), query.get("sort_order", "desc").lower()
    if by not in SORTED_BY or order not in ("asc", "desc"):
        raise UserError(f"sort_by is one of {', '.join(SORTED_BY)}, and sort_order asc or desc")
    limit = whole_number(query, "limit", 1)
    offset = max(0, whole_number(query, "offset", None) or 0)
    jobs = [waiting(job, "in_progress") for job in ([running] if running else [])]
    jobs += [waiting(job, "pending") for job in queued]
    jobs += [one.summary for one in past]
    workflow = query.get("workflow_id")
    found = [
        job
        for job in jobs
        if job["status"] in states and (not workflow or job.get("workflow_id") == workflow)
    ]
    found.sort(key=_duration if by == SORTED_BY[1] else _created, reverse=order == "desc")
    part = found[offset : None if limit is None else offset + limit]
    told = {"offset": offset, "limit": limit, "total": len(found)}
    return {"jobs": part, "pagination": {**told, "has_more": offset + len(part) < len(found)}}


def whole_number(query: Mapping[str, str], name: str, least: int | None) -> int | None:
    """The number that a query gives, None where it gives none; UserError where it is no such."""
    if name not in query:
        return None
    try:
        value = int(query[name])
    except ValueError as error:
        raise UserError(f"{name} must be a whole number, and is {query[name]!r}") from error
    if least is not None and value < least:
        raise UserError(f"{name} must be at least {least}, and is {value}")
    return value


def _states(text: str) -> set[str]:
    asked = {part.strip().lower() for part in text.split(",") if part.strip()}
    if unknown := asked - set(STATES):
        raise UserError(f"there is no status {', '.join(sorted(unknown))}; {', '.join(STATES)} are")
    return asked or set(STATES)


def _created(job: Told) -> float:
    return float(job.get("create_time", 0))


def _duration(job: Told) -> float:
    return float(job.get("execution_end_time", 0) - job.get("execution_start_time", 0))


def _shown(outputs: Mapping[str, Mapping[str, Any]]) -> Iterator[Told]:
    """The files that nodes show, each with its node and what it is."""
    for node, ui in outputs.items():
        for kind, items in ui.items():
            for item in items if isinstance(items, (list, tuple)) else ():
                if isinstance(item, dict) and "filename" in item:
                    yield {**item, "nodeId": node, "mediaType": kind}


def _preview(shown: Sequence[Told]) -> Told | None:
    """What stands for the job: a picture that was saved, or else one that was only shown."""
    seen = [one for one in shown if one["mediaType"] in SEEN]
    saved = [one for one in seen if one.get("type") == "output"]
    return next(iter(saved or seen), None)


def _without_none(told: Told) -> Told:
    return {key: value for key, value in told.items() if value is not None}
