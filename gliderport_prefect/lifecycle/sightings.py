"""From what a site says of workers to what is written down of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliderport_prefect.protocol.records import Sighting, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gliderport_prefect.sites.seam import SiteWorker


def sight(workers: Iterable[SiteWorker]) -> list[Sighting]:
    """Return what the site says of the workers; `seen_at` is empty where it does not say since when."""
    return [
        Sighting(
            worker=each.name,
            state=each.state,
            seen_at="" if each.since is None else timestamp(each.since),
            machine=each.machine,
            recoveries=each.recoveries,
            reason=each.reason,
        )
        for each in workers
    ]
