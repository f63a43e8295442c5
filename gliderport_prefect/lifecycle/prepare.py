"""Find out what a campaign is to be, and everything that can be known to be wrong with it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gliderport_prefect.board.money import say_estimate
from gliderport_prefect.errors import UserError
from gliderport_prefect.lifecycle.budget import check_budget, estimate_cost
from gliderport_prefect.lifecycle.checks import Circumstances, Summary, check_submission
from gliderport_prefect.lifecycle.opening import check_site, open_site
from gliderport_prefect.lifecycle.plan import Plan
from gliderport_prefect.presets.command import command_submission
from gliderport_prefect.presets.settings import CampaignSettings
from gliderport_prefect.presets.sources import CAMPAIGN_FILES, open_source
from gliderport_prefect.presets.tables import parse_range
from gliderport_prefect.protocol.ids import CampaignId, parse_campaign_id

if TYPE_CHECKING:
    from gliderport_prefect.lifecycle.order import Order
    from gliderport_prefect.presets.submission import Submission

_log = logging.getLogger(__name__)

_UNSAFE = re.compile(r"[^A-Za-z0-9]+")
_LONGEST_NAME = 40
_DIGEST_DIGITS = 6


def prepare(order: Order) -> Plan:
    """Check every job of the order and return how its campaign is to run; nothing is uploaded or started.

    Raises:
        UserError: Something in the order is wrong; up to twenty mistakes are named at once.
    """
    return prepare_with_summary(order)[0]


def prepare_with_summary(order: Order) -> tuple[Plan, Summary]:
    """Do what `prepare` does, and return besides what the submission holds.

    Raises:
        UserError: Something in the order is wrong; up to twenty mistakes are named at once.
    """
    submission = open_submission(order)
    plan = _plan(order, submission)
    check_site(plan)
    site = open_site(plan)
    check_budget(plan.launcher.budget, site.quote)
    summary = check_submission(submission, Circumstances(os.environ, site.offer))
    estimate = estimate_cost(plan, site, summary=summary)
    for name, text in say_estimate(estimate):
        _log.info("campaign %s, %s: %s", plan.campaign, name, text)
    secrets = tuple(sorted(summary.secrets))
    return replace(plan, jobs=summary.jobs, secrets=secrets, estimate=estimate), summary


def open_submission(order: Order) -> Submission:
    """Return the jobs of the order as a stream.

    Raises:
        UserError: The order names no source, two, or one that cannot be read.
    """
    if order.command is not None:
        if order.source is not None:
            raise UserError("an order has either a source or a command, not both", hint="leave one of them out")
        if order.each is None:
            raise UserError("a command needs a table or a range", key="each", hint="for example --each 0..9")
        return command_submission(order.command, order.each, id_template=order.job_id, job=order.job)
    if order.source is None:
        raise UserError("there is nothing to run", hint="name a folder, a campaign file, or a command and a table")
    if order.each is not None or order.job_id is not None:
        raise UserError("a table goes with a command, not with a folder or a campaign file", key="each")
    return open_source(Path(order.source), order.job)


def _plan(order: Order, submission: Submission) -> Plan:
    given = {"max_workers": order.workers, "budget": order.budget}
    asked = CampaignSettings(
        name=order.campaign,
        bucket=order.bucket or None,
        credentials=order.credentials,
        site=order.site,
        site_options=order.site_options,
        launcher={name: value for name, value in given.items() if value is not None},
    )
    settings = asked.over(submission.settings)
    if settings.bucket is None:
        raise UserError("there is no bucket", key="bucket", hint="name a folder or a URL such as s3://bucket/prefix")
    return Plan(
        campaign=parse_campaign_id(settings.name or derive_name(order)),
        bucket=settings.bucket,
        site=settings.site or "local",
        site_options=settings.site_options,
        sky_template=submission.sky_template,
        worker=settings.worker_policy(),
        launcher=settings.launcher_policy(),
        origin=submission.origin,
        credentials=settings.credentials or "",
    )


def derive_name(order: Order) -> CampaignId:
    """Return the id of a campaign without a name: the same for the same source, so that a rerun re-attaches."""
    named, stem = _name_source(order)
    what = [named, order.command, order.job_id, order.job if order.command is not None else None]
    digest = hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:_DIGEST_DIGITS]
    name = _UNSAFE.sub("-", stem).strip("-")[:_LONGEST_NAME] or "campaign"
    return parse_campaign_id(f"{name}-{digest}")


def _name_source(order: Order) -> tuple[str, str]:
    """Return what tells the source from all others of this machine, and a short name for it."""
    if order.each is not None and parse_range(order.each) is not None:
        return order.each, order.each
    path = Path(order.source or order.each or "").expanduser().absolute()
    if path.name in CAMPAIGN_FILES:
        return str(path), path.parent.name
    return str(path), path.name if path.is_dir() else path.stem
