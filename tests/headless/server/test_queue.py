"""The queue by itself: order, places, and what is forgotten."""

from __future__ import annotations

import json
import threading

from controlstack.headless.server.queue import Job, JobQueue


def job(name: str, number: float = 0) -> Job:
    """A job of little."""
    return Job.of(number, name, {"1": {}}, {"client_id": "me"}, ["1"], 5)


def queue(*jobs: Job) -> JobQueue:
    """A queue in which these wait."""
    made = JobQueue(lambda: None)
    for one in jobs:
        made.put(one)
    return made


def test_lower_numbers_first_then_who_came_first() -> None:
    made = queue(job("a", 1), job("b", 0), job("c", 1), job("d", -3))
    assert [one.id for one in made.look()[1]] == ["d", "b", "a", "c"]
    taken = [made.take() for _ in range(4)]
    assert [one.id for one in taken if one] == ["d", "b", "a", "c"]


def test_what_runs_counts_until_it_is_done() -> None:
    made = queue(job("a"))
    assert made.remaining == 1
    taken = made.take()
    assert made.look() == (taken, [])
    assert made.remaining == 1
    made.done()
    assert made.remaining == 0


def test_some_are_forgotten() -> None:
    made = queue(job("a"), job("b"), job("c"))
    assert made.remove(["b", "z"]) == {"b"}
    assert [one.id for one in made.look()[1]] == ["a", "c"]
    made.clear()
    assert made.take(0.01) is None


def test_it_tells_of_itself_in_comfyui_s_form() -> None:
    told = json.loads(job("a", 3).told())
    assert told == [3, "a", {"1": {}}, {"client_id": "me", "create_time": 5}, ["1"]]


def test_who_waits_is_woken_without_a_job() -> None:
    made = queue()
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(made.take()))
    thread.start()
    made.wake()
    thread.join(5)
    assert found == [None]
    made.wake()  # nobody waits: the next one returns, and once only
    assert made.take() is None
    made.put(job("a"))
    made.wake()
    assert made.take() is not None
    assert made.take(0.01) is None


def test_who_waits_is_let_go_at_the_end() -> None:
    made = queue()
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(made.take()))
    thread.start()
    made.close()
    thread.join(5)
    assert found == [None]
    made.put(job("late"))
    assert made.take() is None
