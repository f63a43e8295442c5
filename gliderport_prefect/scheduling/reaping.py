"""Decide which workers nobody needs any more: those of campaigns that are over, unknown, or have fallen silent.

A campaign is looked at several times by one reaper with its own monotonic clock; no time of another machine counts.
Whatever may be a sign of life keeps it alive: it is better to leave a worker that ends by itself after its idle time
than to end one that works.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gliderport_prefect.protocol.machines import WorkerState

ANSWER_SECONDS = 15.0
"""A launcher that lives has acted on a request by then: it looks for them every second, or every five when idle."""
_MARGIN_SECONDS = 5.0
"""What a heartbeat may take on its way, beside two intervals."""


class Standing(StrEnum):
    """What can be said of a campaign."""

    UNDECIDED = "UNDECIDED"
    """It has not been watched for long enough."""
    LIVE = "LIVE"
    """Something moved, or its launcher's process runs on this machine."""
    CLOSED = "CLOSED"
    """Every job has ended and its launcher has said so, or it was torn down; and nobody has claimed it since."""
    UNKNOWN = "UNKNOWN"
    """Its bucket answers and holds no such campaign."""
    SILENT = "SILENT"
    """Jobs are left; no launcher answers, no worker gives a sign of life."""
    UNREACHABLE = "UNREACHABLE"
    """Its bucket cannot be read, so that nothing can be said."""


@dataclass(frozen=True)
class Look:
    """What was seen of a campaign at one moment."""

    at: float
    """Seconds of the reaper's monotonic clock."""
    trouble: str = ""
    """Why the bucket could not be read; empty when it could."""
    is_known: bool = True
    """Whether the bucket holds the campaign."""
    is_over: bool = False
    """Whether it is finished or torn down, and nobody has claimed it since."""
    signs: frozenset[str] = frozenset()
    """Claims, ledger, inboxes, outboxes, registrations: each change of them is a sign of life."""
    launcher_alive: bool | None = None
    """Whether the process that claimed it last runs on this machine; none when it is on another."""
    heartbeat_seconds: float = 30.0
    """How often its workers say something when they have nothing to say."""
    unanswered_seconds: float | None = None
    """For how long a request has stood without an answer, by the reaper's clock; none when there is none."""


def watch_seconds(look: Look, silent_seconds: float) -> float:
    """Return for how long a campaign must give no sign of life to count as silent: at least two heartbeats."""
    return max(silent_seconds, 2 * look.heartbeat_seconds + _MARGIN_SECONDS)


def wants_request(first: Look, newest: Look, *, silent_seconds: float) -> bool:
    """Say whether it is time to ask the launcher, if there is any, for a sign of life.

    A launcher whose jobs all run for hours writes nothing, and deletes its workers' heartbeats as it reads them. It
    answers a request, though.
    """
    if newest.trouble or not newest.is_known:
        return False
    is_late = newest.at - first.at >= watch_seconds(newest, silent_seconds) / 2
    return is_late and newest.unanswered_seconds is None


def derive_standing(looks: Sequence[Look], *, silent_seconds: float) -> Standing:
    """Return what the looks at a campaign, oldest first, say together.

    Args:
        looks: At least one.
        silent_seconds: For how long, in seconds, a campaign must give no sign of life to count as silent.
    """
    first, newest = looks[0], looks[-1]
    if any(each.trouble for each in looks):
        return Standing.UNREACHABLE
    if len({each.is_known for each in looks}) > 1:
        return Standing.LIVE
    if not newest.is_known:
        return Standing.UNKNOWN if len(looks) > 1 else Standing.UNDECIDED
    if all(each.is_over for each in looks):
        return Standing.CLOSED
    return _standing_of_unfinished(looks, waited=newest.at - first.at, silent_seconds=silent_seconds)


def _standing_of_unfinished(looks: Sequence[Look], *, waited: float, silent_seconds: float) -> Standing:
    newest = looks[-1]
    if len({each.signs for each in looks}) > 1 or any(each.launcher_alive for each in looks):
        return Standing.LIVE
    is_long = waited >= max(watch_seconds(each, silent_seconds) for each in looks)
    is_unanswered = newest.unanswered_seconds is not None and newest.unanswered_seconds >= ANSWER_SECONDS
    return Standing.SILENT if is_long and is_unanswered else Standing.UNDECIDED


def decide_reaping(standing: Standing, state: WorkerState, *, user: str = "") -> bool:
    """Say whether a worker of a campaign of that standing is to be ended.

    A worker of a silent campaign that still starts, or starts again, is left: it has had no time to speak. Once it
    does, or is silent too, more is known.

    Args:
        standing: What is said of its campaign.
        state: What the site says of it.
        user: Whose it is, when it is another user's.
    """
    if user or state is WorkerState.GONE:
        return False
    if standing is Standing.SILENT:
        return state is WorkerState.RUNNING
    return standing in {Standing.CLOSED, Standing.UNKNOWN}


def derive_state(states: tuple[WorkerState, WorkerState], *, since: tuple[float | None, float | None]) -> WorkerState:
    """Return what two looks at a worker say: it runs only if it has run since before the first.

    Args:
        states: What its site said first and last.
        since: Since when, each by the site's own clock.
    """
    if states[1] is not WorkerState.RUNNING or (states[0] is states[1] and since[0] == since[1]):
        return states[1]
    return WorkerState.STARTING


def say_standing(standing: Standing, looks: Sequence[Look]) -> str:
    """Return the standing in words."""
    newest = looks[-1]
    said = {
        Standing.UNDECIDED: "its campaign has not been watched for long enough",
        Standing.LIVE: "its campaign gives signs of life",
        Standing.CLOSED: "its campaign is over or torn down",
        Standing.UNKNOWN: "its bucket holds no such campaign",
        Standing.SILENT: f"its campaign has given no sign of life for {newest.at - looks[0].at:.0f} s",
        Standing.UNREACHABLE: next((each.trouble for each in looks if each.trouble), ""),
    }
    return said[standing]
