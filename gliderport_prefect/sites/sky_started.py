"""All workers that Gliderport has started on SkyPilot, of whatever campaign, as far as they have not ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import yaml

from gliderport_prefect.errors import UserError
from gliderport_prefect.protocol.ids import parse_campaign_id, parse_worker_name
from gliderport_prefect.sites.sky_api import end_jobs
from gliderport_prefect.sites.sky_jobs import ManagedJob, describe_worker
from gliderport_prefect.sites.sky_names import BUCKET, CAMPAIGN, WORKER, Owner, is_job_name, name_match
from gliderport_prefect.sites.sky_site import STOP_SECONDS
from gliderport_prefect.sites.started import Started

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gliderport_prefect.sites.sky_api import SkyApi


@dataclass(frozen=True)
class SkyWorkers:
    """Workers among SkyPilot's managed jobs."""

    sky: SkyApi
    """SkyPilot's API."""
    stop_seconds: float = STOP_SECONDS
    """Longest time that `stop_started` waits for SkyPilot."""

    def find_started(self) -> list[Started]:
        """Return those whose name, labels and variables all say that Gliderport started them.

        Raises:
            UserError: SkyPilot is not installed here.
            SiteError: SkyPilot cannot be asked.
        """
        jobs = [job for job in self.sky.list_jobs(name_match(), with_yaml=True) if not job.is_over]
        found = [(job, started) for job in jobs if (started := recognise(job)) is not None]
        if not found:
            return []
        own = {job.id for job in self.sky.list_jobs(name_match(), is_own=True)}
        return [
            started if job.id in own else replace(started, user=job.user or "another user") for job, started in found
        ]

    def stop_started(self, started: Sequence[Started]) -> None:
        """Cancel the managed jobs of these, those of other users left out, and wait until they are over.

        Raises:
            SiteError: SkyPilot cannot be asked, or some are not over in time.
        """
        numbers = {int(each.reference) for each in started if not each.user}
        if numbers:
            end_jobs(self.sky, name_match(), wanted=lambda job: job.id in numbers, seconds=self.stop_seconds)


def recognise(job: ManagedJob) -> Started | None:
    """Return the worker that the job is; none when anything about it is not as Gliderport writes it."""
    if not is_job_name(job.name):
        return None
    task = _read_task(job.yaml)
    envs, resources = _mapping(task.get("envs")), _mapping(task.get("resources"))
    try:
        campaign = parse_campaign_id(str(envs.get(CAMPAIGN, "")))
        worker = parse_worker_name(str(envs.get(WORKER, "")))
    except UserError:
        return None
    owner = Owner(campaign, str(envs.get(BUCKET, "")))
    labels = _mapping(resources.get("labels"))
    if owner.job_name(worker) != job.name or not owner.labels(worker).items() <= labels.items():
        return None
    seen = describe_worker(worker, job)
    return Started(
        site="skypilot",
        campaign=campaign,
        bucket=owner.bucket,
        worker=worker,
        reference=str(job.id),
        state=seen.state,
        machine=seen.machine,
        since=seen.since,
    )


def _read_task(text: str) -> dict[str, Any]:
    """Return the task in the YAML that SkyPilot keeps of a job, whose documents are a name and then the task."""
    try:
        documents = [_mapping(each) for each in yaml.safe_load_all(text)]
    except yaml.YAMLError:
        return {}
    found = [each for each in documents if "envs" in each]
    return found[0] if found else {}


def _mapping(written: object) -> dict[str, Any]:
    return cast("dict[str, Any]", written) if isinstance(written, dict) else {}
