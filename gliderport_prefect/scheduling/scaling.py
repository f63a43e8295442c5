"""How many workers there should be, and which ones do more harm than good."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gliderport_prefect.scheduling.sessions import Session, side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gliderport_prefect.protocol.resources import Offer
    from gliderport_prefect.scheduling.classes import JobClass


def decide_new_workers(
    demand: Iterable[tuple[JobClass, int]], offer: Offer, *, present: int, most: int, held: int = 0
) -> int:
    """Return how many more workers to start.

    Args:
        demand: Classes with waiting jobs and how many.
        offer: What a new worker will have.
        present: Workers that are there or on their way.
        most: Most workers at a time.
        held: Jobs that the present workers have already.
    """
    wanted = sum(math.ceil(count / slots) for kind, count in demand if (slots := side_by_side(offer, kind.needs)))
    busy = present if held else 0
    return max(0, min(wanted + busy, most) - present)


def derive_unplaceable(demand: Iterable[tuple[JobClass, int]], offers: Sequence[Offer]) -> list[tuple[JobClass, int]]:
    """Return the classes that no present or future worker can ever run."""
    return [(kind, count) for kind, count in demand if not any(offer.fits(kind.needs) for offer in offers)]


def derive_black_holes(sessions: Sequence[Session], limit: int) -> list[Session]:
    """Return the sessions on which everything fails while jobs succeed elsewhere."""
    return [
        each
        for each in sessions
        if not each.draining
        and len(each.failed_since) >= limit
        and any(other.succeeded for other in sessions if other is not each)
    ]
