"""What holds for a whole campaign, in the notation of people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CampaignSettings:
    """What holds for a whole campaign; what is None is left to the command line and the defaults."""

    name: str | None = None
    """Id of the campaign."""
