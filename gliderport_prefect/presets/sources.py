"""From what somebody names to a submission."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.campaign_file import campaign_file_submission
from gliderport_prefect.presets.folder import folder_submission
from gliderport_prefect.presets.submission import Submission
from gliderport_prefect.presets.written_jobs import read_job_file

CAMPAIGN_FILES = ("campaign.yaml", "campaign.yml")
"""Names of a campaign file that stands for its folder."""


def open_source(source: Path, defaults: Mapping[str, Any] | None = None) -> Submission:
    """Return the campaign of a folder, a campaign file, or a JSON Lines file of jobs.

    Args:
        source: The folder or file; a folder with a `campaign.yaml` is that campaign.
        defaults: Keys of every job; they yield to what a job itself says.

    Raises:
        UserError: There is no such source, or something in it is wrong.
    """
    source = source.expanduser().absolute()
    if source.is_dir():
        named = next((source / name for name in CAMPAIGN_FILES if (source / name).is_file()), None)
        return folder_submission(source, defaults) if named is None else campaign_file_submission(named, defaults)
    if not source.exists():
        raise UserError("there is no such folder or campaign file", file=source)
    if source.suffix.lower() == ".jsonl":
        return Submission(lambda: read_job_file(source, defaults or {}), origin=str(source))
    return campaign_file_submission(source, defaults)
