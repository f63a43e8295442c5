"""A launcher's view of the SkyPilot site, as a program: `site_client.py CAMPAIGN BEHAVIOUR ACTION [NAME]…` prints JSON.

SkyPilot's client takes the place of its settings from the environment when it is imported, so each view has a process
of its own, as launchers have.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from gliderport_prefect.errors import GliderportError
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.sites.sky_names import Owner
from gliderport_prefect.sites.sky_site import SkySite
from gliderport_prefect.sites.sky_task import TaskBuilder
from gliderport_prefect.sites.skypilot import SkyPilot

_BEHAVIOURS: dict[str, tuple[dict[str, Any], str]] = {
    "calm": ({}, "sleep 3600"),
    "failing": ({}, "echo no room on this machine; exit 7"),
    "no-setup": ({"setup": "echo about to fail; exit 3"}, "sleep 3600"),
    "large": ({"resources": {"infra": "slurm/rig", "cpus": 6400}}, "true"),
    "misspelt": ({"resources": {"infra": "slurm/rig", "cpsu": 1}}, "true"),
    "elsewhere": ({"resources": {"infra": "aws", "cpus": 1}}, "true"),
}
"""For each kind of worker what its template has besides the usual, and what it does instead of working."""


def main() -> None:
    """Do what the command line says."""
    campaign, behaviour, action, *names = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    template, run = _BEHAVIOURS[behaviour]
    tasks = TaskBuilder(
        {"resources": {"infra": "slurm/rig", "cpus": 1}, **template},
        Owner(campaign, "s3://tests/site"),
        start=lambda _: run,
    )
    site, workers = SkySite(SkyPilot(), tasks), [WorkerName(name) for name in names]
    actions: dict[str, Callable[[], Any]] = {
        "offer": lambda: asdict(site.offer),
        "quote": lambda: asdict(site.quote),
        "list": lambda: [asdict(each) for each in site.list_workers()],
        "start": lambda: site.start(workers),
        "launch-twice": lambda: [site.sky.request_launch(tasks.build(workers[0])) for _ in range(2)],
        "jobs": lambda: [[job.id, job.name, job.status] for job in site.sky.list_jobs(tasks.owner.name_prefix)],
        "stop": lambda: site.stop(workers),
    }
    try:
        result = actions[action]()
        site.close()
        print(json.dumps({"result": result}, default=str))
    except GliderportError as error:
        print(json.dumps({"error": type(error).__name__, "said": str(error)}))


if __name__ == "__main__":
    main()
