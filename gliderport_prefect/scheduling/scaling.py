"""How many workers there should be, on what kind of machine, and which ones are not needed or do harm.

Machines cost money. So nothing is started before the first worker has shown that workers come up here, but for a few;
and who comes up for nothing is sent away. Room that the waiting jobs have elsewhere is left to `matching`: what waits
here is what it could not place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gliderport_prefect.scheduling.matching import backlog_seconds
from gliderport_prefect.scheduling.sessions import Session, side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gliderport_prefect.protocol.ids import WorkerName
    from gliderport_prefect.protocol.resources import Offer
    from gliderport_prefect.scheduling.classes import JobClass

FIRST_STARTS = 8
"""Most workers on their way as long as none has ever come up: a mistake in the set-up shows in each of them."""
_WORTH_WORKER_SECONDS = 60.0
"""Jobs that wait in a session are worth another worker if they would wait there for longer than this."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Wanted:
    """How many workers the jobs are worth, in workers' worth of jobs."""

    plain: float = 0.0
    """Jobs that wait and run anywhere."""
    kept: float = 0.0
    """Jobs that wait and need a machine that is kept."""
    held: float = 0.0
    """Jobs that sessions on other machines have."""
    held_on_kept: float = 0.0
    """Jobs that sessions on machines that are kept have."""

    @property
    def total(self) -> int:
        """Workers for all of them."""
        return math.ceil(self.plain + self.kept + self.held + self.held_on_kept - _ROUNDING)

    @property
    def on_kept(self) -> int:
        """Workers on machines that are kept, at least."""
        return math.ceil(self.kept + self.held_on_kept - _ROUNDING) if self.kept else 0


@dataclass(frozen=True)
class Hand:
    """A worker that is there or on its way, as far as decisions about it go."""

    name: WorkerName
    """Its name."""
    kept: bool = True
    """Whether its machine is kept."""
    session: Session | None = None
    """Its live session; none as long as it is on its way."""
    waits_seconds: float = 0.0
    """How long it has waited for a machine, its first one or another."""
    lacks_capacity: bool = False
    """Whether the site says that there is no machine for it."""

    @property
    def is_coming(self) -> bool:
        """Whether it is on its way."""
        return self.session is None

    @property
    def is_leaving(self) -> bool:
        """Whether it takes no more jobs."""
        return self.session is not None and self.session.draining


@dataclass(frozen=True)
class Starts:
    """How many workers to start."""

    plain: int = 0
    """On whatever machine is cheap."""
    kept: int = 0
    """On machines that are kept."""


def derive_wanted(demand: Iterable[tuple[JobClass, int]], *, offer: Offer, sessions: Iterable[Session]) -> Wanted:
    """Return how many workers the jobs are worth.

    Args:
        demand: Classes with waiting jobs and how many.
        offer: What a new worker will have.
        sessions: Live sessions that take jobs.
    """
    waiting, held = {True: 0.0, False: 0.0}, {True: 0.0, False: 0.0}
    for kind, count in demand:
        slots = side_by_side(offer, kind.needs)
        waiting[kind.kept] += count / slots if slots else 0.0
    for session in sessions:
        if session.held:
            worth = session.load if backlog_seconds(session) > _WORTH_WORKER_SECONDS else 1.0
            held[not session.offer.preemptible] += max(1.0, worth)
    return Wanted(waiting[False], waiting[True], held[False], held[True])


def decide_starts(wanted: Wanted, hands: Sequence[Hand], *, most: int, is_proven: bool) -> Starts:
    """Return how many more workers to start.

    Args:
        wanted: How many the jobs are worth.
        hands: Workers that are there or on their way.
        most: Most workers at a time, those that leave included.
        is_proven: Whether any worker of the campaign has ever come up.
    """
    useful = [each for each in hands if not each.is_leaving]
    room = most - len(hands)
    if not is_proven:
        room = min(room, FIRST_STARTS - sum(each.is_coming for each in useful))
    kept = max(0, min(room, wanted.on_kept - sum(each.kept for each in useful)))
    plain = max(0, min(room, wanted.total - len(useful)) - kept)
    return Starts(plain, kept)


def decide_displaced(wanted: Wanted, hands: Sequence[Hand], *, most: int) -> list[Hand]:
    """Return the workers that have to make room for ones on machines that are kept: who has least to do goes first."""
    missing = wanted.on_kept - sum(each.kept for each in hands if not each.is_leaving)
    missing -= max(0, most - len(hands)) + sum(each.is_leaving for each in hands)
    others = [each for each in hands if not each.kept and not each.is_leaving]
    return sorted(others, key=_load)[: max(0, missing)]


def decide_surplus(wanted: Wanted, hands: Sequence[Hand]) -> list[Hand]:
    """Return the workers on their way that nobody needs any more, the newest first; none while any job waits."""
    if wanted.plain or wanted.kept:
        return []
    surplus = sum(not each.is_leaving for each in hands) - wanted.total
    coming = sorted((each for each in hands if each.is_coming), key=lambda each: each.name, reverse=True)
    return coming[: max(0, surplus)]


def derive_unplaceable(demand: Iterable[tuple[JobClass, int]], offers: Sequence[Offer]) -> list[tuple[JobClass, int]]:
    """Return the classes that no present or future worker can ever run."""
    return [(kind, count) for kind, count in demand if not any(kind.slots_on(offer) for offer in offers)]


def derive_black_holes(sessions: Sequence[Session], limit: int) -> list[Session]:
    """Return the sessions on which everything fails while jobs succeed elsewhere."""
    return [
        each
        for each in sessions
        if not each.draining
        and len(each.failed_since) >= limit
        and any(other.succeeded for other in sessions if other is not each)
    ]


def _load(hand: Hand) -> float:
    return -1.0 if hand.session is None else hand.session.load
