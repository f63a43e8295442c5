"""Preemption and host maintenance on Google Compute Engine.

Sources (Compute Engine documentation): "Create and use Spot VMs" for `instance/preempted` (TRUE once preemption has
begun; the machine has up to 30 s), "Query metadata server for maintenance event notices" for
`instance/maintenance-event` (set only where machines migrate or have GPUs; it changes 60 s before the event, with GPUs
60 minutes), "View and query VM metadata" for the headers (403 without Metadata-Flavor) and for 503 during maintenance.

It could hang until a value changes (`wait_for_change`); a look every two seconds is as good, and the same in all
clouds.
"""

from __future__ import annotations

from http import HTTPStatus

from vm_worker.notices import MetadataTrouble, Notice
from vm_worker.notices_http import MetadataService

_FLAVOR = "Google"
_INSTANCE = "/computeMetadata/v1/instance/"
_PREEMPTION_SECONDS = 30.0
_MAINTENANCE_SECONDS = 60.0
_GPU_MAINTENANCE_SECONDS = 3600.0


class Gcp:
    """The metadata server of Compute Engine."""

    name = "Google Cloud"

    def __init__(self, service: MetadataService, *, has_gpus: bool) -> None:
        self._service = service
        self._has_gpus = has_gpus

    def is_here(self) -> bool:
        """Say whether it answers with Google's flavor."""
        answer = self._service.ask(f"{_INSTANCE}id", headers={"Metadata-Flavor": _FLAVOR})
        return answer.status == HTTPStatus.OK and answer.flavor == _FLAVOR

    def look(self) -> Notice | None:
        """Return the announcement of a preemption, or else that the host's maintenance ends the machine."""
        if self._ask("preempted") == "TRUE":
            return Notice("Google Cloud announces that this machine is taken back within 30 s", _PREEMPTION_SECONDS)
        if self._ask("maintenance-event") == "TERMINATE_ON_HOST_MAINTENANCE":
            seconds = _GPU_MAINTENANCE_SECONDS if self._has_gpus else _MAINTENANCE_SECONDS
            when = f"within {seconds / 60:.0f} min"
            return Notice(f"Google Cloud announces that maintenance of the host ends this machine {when}", seconds)
        return None

    def _ask(self, name: str) -> str:
        path = f"{_INSTANCE}{name}"
        answer = self._service.ask(path, headers={"Metadata-Flavor": _FLAVOR})
        if answer.status == HTTPStatus.NOT_FOUND:
            return ""
        if answer.status != HTTPStatus.OK or answer.flavor != _FLAVOR:
            raise MetadataTrouble(f"GET {path}: status {answer.status}, flavor {answer.flavor!r}")
        return answer.text
