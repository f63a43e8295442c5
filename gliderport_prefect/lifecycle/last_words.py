"""Settle what workers said before they were ended, so that nothing seems to run where nothing does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliderport_prefect.protocol.ids import WorkerName, worker_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gliderport_prefect.lifecycle.launcher import Launcher


def settle_last_words(launcher: Launcher, has_ended: Callable[[WorkerName], bool], *, why: str) -> None:
    """Take in all that was said, then declare the sessions of these workers over; their jobs wait again.

    Args:
        launcher: The right to drive the campaign.
        has_ended: Says whether a worker was ended.
        why: What is noted as the reason.

    Raises:
        Superseded: Another launcher has taken over.
    """
    launcher.settle({})  # which may bring hellos that nobody had read
    launcher.settle({session: why for session in launcher.state.sessions if has_ended(worker_of(session))})
