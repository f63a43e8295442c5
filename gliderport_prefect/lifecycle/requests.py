"""What people ask for, put into the ledger by the launcher, each request once and in order."""

from __future__ import annotations

import logging
from dataclasses import replace

from gliderport_prefect.campaign.replay import add_new_chunks
from gliderport_prefect.errors import ProtocolError
from gliderport_prefect.lifecycle.inboxes import Inboxes
from gliderport_prefect.lifecycle.ledger import Ledger
from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.ids import JobNumber
from gliderport_prefect.protocol.keys import number_segment
from gliderport_prefect.protocol.records import LedgerRecord, Request, RequestKind, Span
from gliderport_prefect.scheduling.state import CampaignState

_log = logging.getLogger(__name__)


def follow_requests(ledger: Ledger, inboxes: Inboxes) -> bool:
    """Act on what people asked for since the last look, and say whether there was anything."""
    keys, found = ledger.runtime.keys, False
    while True:
        number = ledger.state.requests_read + 1
        key = f"{keys.requests}/{number_segment(number)}"
        data = ledger.runtime.store.get(key)
        if data is None:
            return found
        add_new_chunks(ledger.runtime, ledger.state)  # it may be about jobs of which this launcher has not read
        _follow(_decode(data, key), number, ledger=ledger, inboxes=inboxes)
        found = True


def _follow(request: Request | None, number: int, *, ledger: Ledger, inboxes: Inboxes) -> None:
    """Put the request into the ledger; one that cannot be read is passed over there."""
    state, answer = ledger.state, LedgerRecord(ledger.epoch, "", requests_read=number)
    if request is not None and request.kind is RequestKind.CANCEL:
        ledger.write(replace(answer, cancelled=_spans(request, state)))
        inboxes.cancel(state.unwanted())
        state.rebuild_queue()
    elif request is not None and request.kind is RequestKind.RETRY:
        ledger.write(replace(answer, requeued=_spans(request, state)))
    elif request is not None and request.kind is RequestKind.BUDGET:
        ledger.write(replace(answer, budget=request.budget))
    else:
        ledger.write(answer)


def _decode(data: bytes, key: str) -> Request | None:
    try:
        return codec.decode(Request, data, where=key)
    except ProtocolError as error:
        _log.warning("a request is passed over: %s", error)
        return None


def _spans(request: Request, state: CampaignState) -> tuple[Span, ...]:
    """Return the jobs that are meant and exist; all when the request names none."""
    last = len(state.jobs) - 1
    spans = request.jobs or (Span(JobNumber(0), JobNumber(last)),)
    clipped = (Span(JobNumber(max(each.first, 0)), JobNumber(min(each.last, last))) for each in spans)
    return tuple(each for each in clipped if each.first <= each.last)
