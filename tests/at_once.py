"""A watched site without threads: whoever asks for something waits for it, so that a test's schedule is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliderport_prefect.sites.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gliderport_prefect.campaign.runtime import Clock
    from gliderport_prefect.protocol.ids import WorkerName
    from gliderport_prefect.sites.seam import Market, Site, SiteWorker


class AtOnce(Watched):
    """Does at once what the threads would do soon."""

    def __init__(self, site: Site, clock: Clock | None = None) -> None:
        """Look at the site before anything else."""
        super().__init__(site, every=0.0, clock=clock)
        self.turn()

    def list_workers(self) -> list[SiteWorker]:
        self.turn()
        return super().list_workers()

    def start(self, names: Sequence[WorkerName], *, market: Market | None = None) -> None:
        super().start(names, market=market)
        self.turn()

    def dismiss(self, names: Sequence[WorkerName]) -> None:
        super().dismiss(names)
        self.stop_turn()
