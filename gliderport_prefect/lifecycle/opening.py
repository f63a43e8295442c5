"""From the name of a site to the site."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from gliderport_prefect.bundle import bundle_key
from gliderport_prefect.lifecycle.plan import open_runtime, site_folder
from gliderport_prefect.protocol.notation import unknown_key
from gliderport_prefect.sites.local import LocalOptions, LocalSite

if TYPE_CHECKING:
    from gliderport_prefect.lifecycle.plan import Plan
    from gliderport_prefect.sites.seam import Site

SITES = ("local",)
"""Names of the sites that a campaign can name."""


def check_site(plan: Plan) -> None:
    """Check the site's name and options before anything is uploaded.

    Raises:
        UserError: There is no such site, or it knows no such option.
    """
    if plan.site not in SITES:
        raise unknown_key(plan.site, SITES, key="site")
    known = [each.name for each in fields(LocalOptions)]
    for name in plan.site_options:
        if name not in known:
            raise unknown_key(name, known, key=f"site_options.{name}")


def open_site(plan: Plan) -> Site:
    """Return the site where the campaign's workers run; nothing is started."""
    check_site(plan)
    runtime = open_runtime(plan)
    return LocalSite(
        folder=site_folder(plan),
        store=runtime.store,
        bundle_key=bundle_key(runtime.keys),
        campaign=plan.campaign,
        options=LocalOptions(**{"workers": plan.launcher.max_workers, **plan.site_options}),
    )
