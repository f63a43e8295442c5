"""A folder of job files beside an optional sky template.

`*.yaml`, `*.yml` and `*.jsonl` hold jobs, `*.config.yaml` jobs of the original gliderport, `SKY_TEMPLATE.yaml` the
sky template. Other files, hidden files and subfolders are the jobs' own matter. Files are read in order of their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.original import ENDING, read_original_job
from gliderport_prefect.presets.settings import CampaignSettings
from gliderport_prefect.presets.sky_template import read_sky_template
from gliderport_prefect.presets.submission import LocatedJob, Submission
from gliderport_prefect.presets.written_jobs import read_job_file

_ENDINGS = {".yaml", ".yml", ".jsonl"}
_TEMPLATE_NAMES = {"sky_template.yaml", "sky_template.yml"}


def folder_submission(folder: Path, defaults: Mapping[str, Any] | None = None) -> Submission:
    """Return the campaign of the job files in the folder.

    Args:
        folder: The folder.
        defaults: Keys of every job; they yield to what a job itself says.

    Raises:
        UserError: There is no job file, or the sky template is wrong.
    """
    if not _job_files(folder):
        raise UserError(
            "the folder has no job files",
            file=folder,
            hint=f"put jobs into *.yaml or *.jsonl files, or *{ENDING} files of the original gliderport",
        )
    template: dict[str, Any] = {}
    settings = CampaignSettings()
    found = _find_template(folder)
    if found is not None:
        template, settings = read_sky_template(found)
    return Submission(
        lambda: _scan(folder, defaults or {}), origin=str(folder), settings=settings, sky_template=template
    )


def _scan(folder: Path, defaults: Mapping[str, Any]) -> Iterator[LocatedJob | UserError]:
    for file in _job_files(folder):
        if file.name.endswith(ENDING):
            yield read_original_job(file, defaults)
        else:
            yield from read_job_file(file, defaults)


def _job_files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in _ENDINGS
        and not file.name.startswith(".")
        and file.name.lower() not in _TEMPLATE_NAMES
        and not file.is_dir()
    )


def _find_template(folder: Path) -> Path | None:
    found = sorted(file for file in folder.iterdir() if file.name.lower() in _TEMPLATE_NAMES)
    if len(found) > 1:
        raise UserError("there is a second sky template", file=found[1], hint=f"keep it or {found[0].name}")
    return found[0] if found else None
