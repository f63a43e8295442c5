"""Watches for the announcement that this machine is taken back.

Nothing here ever harms the worker: a machine outside of any cloud, a network that swallows packets, a metadata service
that hangs, fails or talks nonsense only mean that nobody says when the machine goes.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from gliderport_prefect.errors import UserError
from vm_worker.logbook import Event, note, note_defect, note_trouble
from vm_worker.notices import Cloud, MetadataTrouble, Notice
from vm_worker.notices_aws import Aws
from vm_worker.notices_azure import Azure
from vm_worker.notices_gcp import Gcp
from vm_worker.notices_http import DEFAULT_ADDRESS, MetadataService

CHOICES = ("auto", "aws", "gcp", "azure", "off")
"""Whose notices are watched: of the cloud that answers, of a certain one, of none."""
_LOOK_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 10.0
_FAILURES_NOTED = 3
# A machine outside of any cloud is asked three times, and then so rarely that nobody minds.
_SEARCH_PAUSES_SECONDS = (5.0, 60.0)
_RARE_SEARCH_SECONDS = 900.0


@dataclass(frozen=True)
class NoticeSource:
    """Where notices come from."""

    choice: str = "auto"
    """One of CHOICES."""
    address: str = DEFAULT_ADDRESS
    """Of the metadata service."""

    def __post_init__(self) -> None:
        """Check it, without asking anybody.

        Raises:
            UserError: There is no such choice, or no such address.
        """
        MetadataService(self.address)
        if self.choice not in CHOICES:
            raise UserError(
                f"{self.choice!r} is no source of notices", key="--notices", hint=f"Use one of {', '.join(CHOICES)}."
            )


class NoticeWatch:
    """One thread that looks every two seconds, once it knows in which cloud it is; less often after failures."""

    def __init__(self, source: NoticeSource, *, foresee: Callable[[Notice | None], None], has_gpus: bool) -> None:
        """Take what to call when a notice appears, changes, or is gone again.

        Args:
            source: Where notices come from; not `off`.
            foresee: Takes the notice; none: what was announced does not hold any more.
            has_gpus: Whether the machine has GPUs, which decides how early some notices come.
        """
        self._source = source
        self._foresee = foresee
        self._service = MetadataService(source.address)
        self._clouds: dict[str, Cloud] = {
            "aws": Aws(self._service),
            "gcp": Gcp(self._service, has_gpus=has_gpus),
            "azure": Azure(self._service),
        }
        self._known = ""
        self._failures = 0

    def run_forever(self) -> None:
        """Find the cloud and watch for its notices."""
        try:
            cloud = self._clouds.get(self._source.choice) or self._search()
            note(Event.METADATA, f"notices of {cloud.name} are watched", address=self._source.address)
            while True:
                time.sleep(self._look(cloud))
        except Exception as error:  # noqa: BLE001 - jobs run as well without notices
            note_defect(error)

    def _search(self) -> Cloud:
        pauses = itertools.chain(_SEARCH_PAUSES_SECONDS, itertools.repeat(_RARE_SEARCH_SECONDS))
        while (cloud := self._find_cloud()) is None:
            pause = next(pauses)
            note(Event.METADATA, "no cloud's metadata service answers", level=logging.DEBUG, next_seconds=pause)
            time.sleep(pause)
        return cloud

    def _find_cloud(self) -> Cloud | None:
        if not self._service.is_reachable():
            return None
        return next((each for each in self._clouds.values() if _is_here(each)), None)

    def _look(self, cloud: Cloud) -> float:
        """Look once and return the pause before the next look, in seconds."""
        try:
            notice = cloud.look()
        except MetadataTrouble as error:
            self._failures += 1
            if self._failures == _FAILURES_NOTED:
                note_trouble(Event.METADATA, f"{cloud.name} does not say whether this machine is taken back: {error}")
            return min(_LONGEST_PAUSE_SECONDS, _LOOK_SECONDS * 2 ** (self._failures - 1))
        self._failures = 0
        self._tell(notice)
        return _LOOK_SECONDS

    def _tell(self, notice: Notice | None) -> None:
        reason = "" if notice is None else notice.reason
        if reason == self._known:
            return
        self._known = reason
        if notice is None:
            note(Event.NOTICE, "the machine is not taken back after all")
        else:
            note(Event.NOTICE, reason, seconds_left=round(notice.seconds_left, 1))
        self._foresee(notice)


def _is_here(cloud: Cloud) -> bool:
    try:
        return cloud.is_here()
    except MetadataTrouble:
        return False
