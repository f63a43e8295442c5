"""Remove what this machine keeps of campaigns that are over: notes, logs and scratch of their workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliderport_prefect.errors import SiteError
from gliderport_prefect.scheduling.reaping import Standing, say_standing
from gliderport_prefect.sites.notes import Notes, list_notes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gliderport_prefect.lifecycle.observing import Observation
    from gliderport_prefect.protocol.ids import CampaignId

Place = tuple[str, "CampaignId"]
"""Bucket and campaign: the same id in two buckets is two campaigns."""


def places_of(root: Path, bucket: str | None) -> set[Place]:
    """Return the campaigns of which the folder keeps something and that are known by name."""
    found = {place for notes in list_notes(root) if (place := _place(notes)) is not None}
    return {place for place in found if bucket in {None, place[0]}}


def sweep(
    root: Path, seen: Mapping[Place, Observation], *, bucket: str | None, busy: set[Place], dry_run: bool
) -> tuple[list[str], dict[str, str]]:
    """Remove the folders of campaigns that are over or unknown.

    Args:
        root: Where the folders are.
        seen: What is known of their campaigns.
        bucket: Whose campaigns; those of every bucket when not given.
        busy: Campaigns that still have a worker, whose folders stay.
        dry_run: Whether to remove nothing.

    Returns:
        The folders that were removed, and those about which nothing is known, with the reason.
    """
    removed, kept = list[str](), dict[str, str]()
    for notes in list_notes(root):
        place = _place(notes)
        if place is None and bucket is None:
            kept[str(notes.folder)] = "an older version made it and did not note whose it is; remove it by hand"
        elif place is not None and place in seen and place not in busy:
            _sweep_one(notes, seen[place], removed=removed, kept=kept, dry_run=dry_run)
    return removed, kept


def _sweep_one(
    notes: Notes, observation: Observation, *, removed: list[str], kept: dict[str, str], dry_run: bool
) -> None:
    if observation.standing is Standing.UNREACHABLE:
        kept[str(notes.folder)] = say_standing(Standing.UNREACHABLE, observation.looks)
    elif observation.standing in {Standing.CLOSED, Standing.UNKNOWN}:
        try:
            if not dry_run:
                notes.remove()
            removed.append(str(notes.folder))
        except SiteError as error:
            kept[str(notes.folder)] = str(error)


def _place(notes: Notes) -> Place | None:
    identity = notes.identity()
    return None if identity is None else (identity[1], identity[0])
