"""A price that somebody names goes before what the site says."""

from __future__ import annotations

import pytest

from gliderport_prefect.errors import UserError
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.protocol.machines import Machine, Market, WorkerState
from gliderport_prefect.protocol.resources import Offer
from gliderport_prefect.sites.priced import Priced, read_price
from gliderport_prefect.sites.seam import Quote, SiteWorker
from tests.unit.lifecycle.test_workers import Yard

OFFER = Offer(cpus=1, memory_bytes=2**30, disk_bytes=2**30)
ONE = WorkerName("worker-0001")


def test_a_worker_costs_what_was_named() -> None:
    yard = Yard(OFFER)
    yard.workers[ONE] = SiteWorker(ONE, WorkerState.RUNNING, machine=Machine("host", price_per_hour=0.0))
    (worker,) = Priced(yard, 0.25).list_workers()
    assert worker.machine == Machine("host", market=Market.ON_DEMAND, price_per_hour=0.25)


@pytest.mark.parametrize(
    ("quote", "expected"),
    [
        (Quote(), Quote(on_demand=0.25, market=Market.ON_DEMAND)),
        (Quote(spot=0.1, on_demand=0.4, market=Market.SPOT, kind="m6i"), Quote(0.25, 0.25, Market.SPOT, "m6i")),
    ],
)
def test_the_quote_is_what_was_named(quote: Quote, expected: Quote) -> None:
    found = Priced(Yard(OFFER, quote), 0.25).quote
    assert found == expected
    assert found.price_per_hour == 0.25


def test_what_is_asked_of_it_goes_to_the_site() -> None:
    yard = Yard(OFFER)
    priced = Priced(yard, 1)
    priced.start([ONE])
    priced.stop([ONE])
    assert yard.asked == [ONE]
    assert [each.state for each in priced.list_workers()] == [WorkerState.GONE]
    assert priced.offer == OFFER
    priced.forget()
    assert priced.list_workers() == []


@pytest.mark.parametrize("price", ["cheap", -1, True, float("nan"), float("inf")])
def test_what_is_no_price_is_refused(price: object) -> None:
    with pytest.raises(UserError, match=r"site_options\.price: expected US dollars"):
        read_price(price)
