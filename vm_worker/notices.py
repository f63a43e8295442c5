"""What a cloud says about the end of this machine, and the seam to the clouds.

`notices_aws.py`, `notices_gcp.py` and `notices_azure.py` read it from the instance's metadata service, each in its
cloud's documented way; `notices_http.py` asks; `notices_watch.py` looks again and again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

# When the announced moment is over or unknown and the machine still stands.
SHORTEST_SECONDS = 5.0
"""A machine is given at least so long, whatever its cloud says."""


@dataclass(frozen=True)
class Notice:
    """The announcement that this machine is taken back."""

    reason: str
    """Who announces what for when; the same notice always reads the same."""
    seconds_left: float
    """How long the machine will still stand, as far as is known."""


class MetadataTrouble(Exception):
    """The metadata service did not answer, or not as documented."""


class Cloud(Protocol):
    """A cloud as seen from one of its machines.

    Both methods ask the metadata service, change nothing there, and raise MetadataTrouble when it does not answer as
    documented.
    """

    name: str
    """What people call it."""

    def is_here(self) -> bool:
        """Say whether this is a machine of that cloud; an answer that any other server might give does not count."""
        ...

    def look(self) -> Notice | None:
        """Return the announcement of this machine's end; none when there is none."""
        ...


def seconds_until(moment: datetime, now: datetime | None) -> float:
    """Return how long it is until then; negative when it is over.

    Args:
        moment: What the metadata service names.
        now: What time it is for the metadata service; none: it did not say, and this machine's clock has to do.
    """
    return (moment - (now or datetime.now(timezone.utc))).total_seconds()


def say_time(moment: datetime) -> str:
    """Return the time of day for people."""
    return f"{moment.astimezone(timezone.utc):%H:%M:%S} UTC"
