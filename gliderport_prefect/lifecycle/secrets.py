"""Variables that jobs name as their `secrets`: known by name wherever a campaign is resumed, by value only at the rim.

Names are in the campaign's record. Values come from the environment of whoever starts workers and go straight to the
site; they are in no object, plan, command line or log.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gliderport_prefect.errors import UserError
from gliderport_prefect.lifecycle.plan import open_runtime
from gliderport_prefect.protocol.records import Campaign
from gliderport_prefect.store.environment import bucket_environment, pick_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gliderport_prefect.lifecycle.plan import Plan

_log = logging.getLogger(__name__)


def name_secrets(plan: Plan) -> list[str]:
    """Return the names of all secrets that jobs of the campaign need, those of earlier submissions too."""
    runtime = open_runtime(plan)
    standing = runtime.read(Campaign, runtime.keys.identity)
    return sorted({*plan.secrets, *(standing.secrets if standing is not None else ())})


def check_environment(plan: Plan, environment: Mapping[str, str]) -> None:
    """Check that workers will get what they need of this environment, and tell of what will not last.

    Raises:
        UserError: A secret that jobs need has no value here, or the credentials that would be sent have expired.
    """
    pick_secrets(name_secrets(plan), environment)
    warn_of_end(plan, environment)


def warn_of_end(plan: Plan, environment: Mapping[str, str]) -> None:
    """Tell when the credentials that are about to be sent to other machines are worth nothing any more.

    Raises:
        UserError: They have expired.
    """
    if plan.site == "local" or plan.site_options.get("credentials") == "machine":
        return
    warning = bucket_environment(plan.bucket, environment).warning
    if warning:
        _log.warning("campaign %s: %s", plan.campaign, warning)


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
