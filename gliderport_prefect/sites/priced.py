"""A site whose price somebody names: machines of one's own, a cluster, a contract that no catalog knows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gliderport_prefect.errors import UserError
from gliderport_prefect.sites.seam import Market, Quote, SiteWorker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gliderport_prefect.protocol.ids import WorkerName
    from gliderport_prefect.protocol.resources import Offer
    from gliderport_prefect.sites.seam import Site

PRICE = "price"
"""The option of every site that names it: US dollars for an hour of a worker."""


def read_price(written: object) -> float:
    """Return the price that somebody has written.

    Raises:
        UserError: It is no number from 0.
    """
    if not isinstance(written, (int, float)) or isinstance(written, bool) or not 0 <= written < float("inf"):
        raise UserError(
            f"expected US dollars for an hour of a worker, got {written!r:.80}", key=f"site_options.{PRICE}"
        )
    return float(written)


@dataclass
class Priced:
    """Another site, and what an hour of its workers costs, whatever that site says."""

    site: Site
    """The site."""
    price_per_hour: float
    """US dollars."""

    @property
    def offer(self) -> Offer:
        """What a new worker will have."""
        return self.site.offer

    @property
    def quote(self) -> Quote:
        """What a new worker costs: the same on each market that there is."""
        quote, price = self.site.quote, self.price_per_hour
        has_spot = quote.spot is not None or quote.market is Market.SPOT
        return replace(
            quote, spot=price if has_spot else None, on_demand=price, market=quote.market or Market.ON_DEMAND
        )

    def start(self, names: Sequence[WorkerName], *, market: Market | None = None) -> None:
        """Start workers under these names."""
        self.site.start(names, market=market)

    def list_workers(self) -> list[SiteWorker]:
        """Return the campaign's workers."""
        return [self._price(each) for each in self.site.list_workers()]

    def stop(self, names: Sequence[WorkerName]) -> None:
        """End these workers and return when they have ended."""
        self.site.stop(names)

    def forget(self) -> None:
        """Drop what the site keeps of the campaign once all its workers are gone."""
        self.site.forget()

    def close(self) -> None:
        """Return when no start is under way any more."""
        self.site.close()

    def _price(self, worker: SiteWorker) -> SiteWorker:
        market = worker.machine.market or Market.ON_DEMAND
        return replace(worker, machine=replace(worker.machine, market=market, price_per_hour=self.price_per_hour))
