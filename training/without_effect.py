"""Settings that do nothing, or less than they say, because of others: each is said, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from .config import flat
from .settings import SECTIONS, RunSettings, TrainingSettings, ValidationSettings


@dataclass(frozen=True)
class Rule:
    """Where `holds`, `settings` ("section.name") have no effect; `why` says so of them."""

    why: str
    settings: tuple[str, ...]
    holds: Callable[[RunSettings], bool]


RULES = (
    Rule(
        "with start_from the network stays as it is",
        ("network.kind", "network.hint_channels", "network.hint_gain", "network.rank"),
        lambda one: bool(one.network.start_from),
    ),
    Rule(
        "only a control_lora has a rank",
        ("network.rank",),
        lambda one: one.network.kind != "control_lora" and not one.network.start_from,
    ),
    Rule(
        "validation is off (validate_every = 0)",
        tuple(f"validation.{one.name}" for one in fields(ValidationSettings) if one.name != "rows"),
        lambda one: not one.training.validate_every,
    ),
    Rule(
        "no gain is measured (validate_every = 0, or hints of your own)",
        ("training.stop_when", "training.save_best", "validation.rows"),
        lambda one: not one.training.validate_every or bool(one.validation.hints),
    ),
    Rule(
        "the schedule constant has no warm-up",
        ("training.warmup",),
        lambda one: one.training.schedule == "constant",
    ),
    Rule(
        "nothing of a lite network is a copy, so that new_rate is the rate of all of it",
        ("training.rate",),
        lambda one: (
            one.network.kind == "lite"
            and one.training.new_rate > 0
            and not one.training.unlock_decoder
        ),
    ),
)


def idle(settings: RunSettings) -> list[str]:
    """A sentence without its full stop for each reason, with the settings that are not at their
    default and for which it makes no difference; and for a warm-up that the run ends in.
    """
    now, plain = (flat(one, SECTIONS) for one in (settings, RunSettings()))
    notes = []
    for rule in RULES:
        if not rule.holds(settings):
            continue
        # These kinds stay what they are: start_from has to name another of the kind.
        given = [n for n in rule.settings if now[n] != plain[n] and (n, now[n]) not in _STAYING]
        if given:
            words = ", ".join(f"{n.partition('.')[2]} = {now[n]}" for n in given)
            notes.append(f"{rule.why}; without effect: {words}")
    return [*notes, *_never_full(settings.training)]


def _never_full(training: TrainingSettings) -> list[str]:
    steps, warmup = training.steps, training.warmup
    if training.schedule == "constant" or steps > warmup:
        return []
    share = (steps - 1) / warmup  # that of the last step; the first one's is 0
    most = (
        f"never gets beyond {share:.2g} of what is set" if share else "stays 0: nothing is learnt"
    )
    return [
        f"the warm-up ({warmup} steps) is not shorter than the run ({steps}): the learning rate "
        f"{most}"
    ]


_STAYING = (("network.kind", "lite"), ("network.kind", "control_lora"))
