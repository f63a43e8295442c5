"""From the name of a site to the site."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gliderport_prefect.bundle import WorkerShare, bundle_key, start_script
from gliderport_prefect.lifecycle.plan import open_runtime, site_folder
from gliderport_prefect.lifecycle.secrets import name_secrets
from gliderport_prefect.protocol.notation import unknown_key
from gliderport_prefect.sites.local import LocalOptions, LocalSite, LocalWorkers
from gliderport_prefect.sites.priced import PRICE, Priced, read_price
from gliderport_prefect.sites.sky_names import Owner
from gliderport_prefect.sites.sky_options import SkyPilotOptions, check_bucket, derive_environment
from gliderport_prefect.sites.sky_site import SkySite
from gliderport_prefect.sites.sky_started import SkyWorkers
from gliderport_prefect.sites.sky_task import TaskBuilder, check_template
from gliderport_prefect.sites.skypilot import SkyPilot
from gliderport_prefect.sites.watched import Watched

if TYPE_CHECKING:
    from gliderport_prefect.lifecycle.plan import Plan
    from gliderport_prefect.sites.seam import Site
    from gliderport_prefect.sites.sky_prices import Choice
    from gliderport_prefect.sites.started import StartedWorkers

_LOOK_SECONDS = {"local": 2.0}
_REMOTE_LOOK_SECONDS = 12.0
"""Between two looks at a site; one of SkyPilot costs its server some seconds of a CPU."""


def check_site(plan: Plan) -> None:
    """Check the site's name and options before anything is uploaded.

    Raises:
        UserError: There is no such site, or it knows no such option.
    """
    if plan.site not in SITES:
        raise unknown_key(plan.site, SITES, key="site")
    known = [PRICE, *(each.name for each in fields(_OPTIONS[plan.site]))]
    for name in plan.site_options:
        if name not in known:
            raise unknown_key(name, known, key=f"site_options.{name}")
    if plan.site == "skypilot":
        check_template(plan.sky_template)


def open_site(plan: Plan) -> Site:
    """Return the site where the campaign's workers run; nothing is started.

    Raises:
        UserError: There is no such site, or it cannot be with these settings.
    """
    check_site(plan)
    options = {name: value for name, value in plan.site_options.items() if name != PRICE}
    site = SITES[plan.site](replace(plan, site_options=options))
    return Priced(site, read_price(plan.site_options[PRICE])) if PRICE in plan.site_options else site


def watch_site(plan: Plan) -> Watched:
    """Return the site for whoever must not wait for it; nothing is asked before it is opened or turned.

    Raises:
        UserError: There is no such site, or it cannot be with these settings.
    """
    return Watched(open_site(plan), every=_LOOK_SECONDS.get(plan.site, _REMOTE_LOOK_SECONDS))


def _open_local(plan: Plan) -> Site:
    runtime = open_runtime(plan)
    return LocalSite(
        folder=site_folder(plan),
        store=runtime.store,
        bundle_key=bundle_key(runtime.keys),
        campaign=plan.campaign,
        options=LocalOptions(**{"workers": plan.launcher.max_workers, **plan.site_options}),
    )


def _open_skypilot(plan: Plan) -> Site:
    runtime, options = open_runtime(plan), SkyPilotOptions(**plan.site_options)
    url, key = runtime.store.url, bundle_key(runtime.keys)
    check_bucket(url, options)

    def start(choice: Choice | None) -> str:
        if choice is None:
            return start_script(key, WorkerShare(scratch=options.scratch))
        return start_script(key, WorkerShare(choice.cpus, choice.memory_bytes, choice.gpu_type, options.scratch))

    tasks = TaskBuilder(
        template=plan.sky_template,
        owner=Owner(plan.campaign, url),
        start=start,
        environment=lambda: derive_environment(
            url, options, secrets=name_secrets(plan), template=plan.sky_template, environment=os.environ
        ),
    )
    return SkySite(SkyPilot(), tasks)


_OPTIONS: Mapping[str, type[Any]] = {"local": LocalOptions, "skypilot": SkyPilotOptions}

SITES: Mapping[str, Callable[[Plan], Site]] = {"local": _open_local, "skypilot": _open_skypilot}
"""Names of the sites that a campaign can name, and what opens each."""


def _find_local(grace_seconds: float) -> StartedWorkers:
    return LocalWorkers(grace_seconds=grace_seconds)


def _find_skypilot(grace_seconds: float) -> StartedWorkers:  # noqa: ARG001 - SkyPilot has its own
    return SkyWorkers(SkyPilot())


STARTED: Mapping[str, Callable[[float], StartedWorkers]] = {"local": _find_local, "skypilot": _find_skypilot}
"""What tells all that a site has started, by its name; the argument is the time between TERM and KILL, in seconds."""


def sites_used_here() -> list[str]:
    """Return the sites where this user may have started workers: to ask SkyPilot would start a server of its own."""
    knows_skypilot = "SKYPILOT_API_SERVER_ENDPOINT" in os.environ or (Path.home() / ".sky").is_dir()
    return [name for name in STARTED if name != "skypilot" or knows_skypilot]
