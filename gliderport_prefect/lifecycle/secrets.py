"""What workers need to know that nobody else may: how to open the bucket, and what the jobs name as their `secrets`.

Names are in the campaign's record, so that whoever resumes it knows them; values come from the environment of whoever
starts workers, go straight to the site, and are in no object, plan, command line or log.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gliderport_prefect.campaign.replay import read_campaign
from gliderport_prefect.errors import UserError
from gliderport_prefect.lifecycle.plan import open_runtime
from gliderport_prefect.store.environment import BucketEnvironment, bucket_environment, pick_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.lifecycle.plan import Plan
    from gliderport_prefect.protocol.records import Campaign


def worker_environment(plan: Plan, environment: Mapping[str, str]) -> BucketEnvironment:
    """Return the variables that a worker on another machine needs: for the bucket, and for the jobs.

    Ask when workers are about to be started, not before: whoever only stops them needs no secret.

    Args:
        plan: The campaign, which is in its bucket already.
        environment: Variables of this process.

    Raises:
        UserError: A secret that jobs need has no value here, or the bucket's credentials have expired.
    """
    found = bucket_environment(plan.bucket, environment)
    jobs_secrets = check_secrets(open_runtime(plan), environment)
    return replace(found, secret={**found.secret, **jobs_secrets})


def check_secrets(runtime: Runtime, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the secrets that the campaign's jobs need.

    Raises:
        UserError: One has no value here.
    """
    return pick_secrets(read_campaign(runtime).secrets, environment)


def refuse_new_secrets(campaign: Campaign, wanted: Iterable[str]) -> None:
    """Check that the jobs that are to be added need no secret that the campaign has begun without.

    Raises:
        UserError: They do; the workers that run would not have it.
    """
    new = sorted(set(wanted) - set(campaign.secrets))
    if new:
        raise UserError(
            f"campaign {campaign.campaign!r} has begun without {', '.join(new)}: its workers do not have it",
            key="secrets",
            hint="begin another campaign with these jobs: --campaign NAME",
        )
