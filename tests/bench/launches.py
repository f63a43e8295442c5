"""Ask SkyPilot for many workers, as a launcher does that has decided so: `launches.py COUNT` prints one JSON object.

A process of its own, because SkyPilot's client takes the place of its settings from HOME when it is imported.
"""

from __future__ import annotations

import json
import sys
import time

from gliderport_prefect.bundle.starting import start_script
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.sites.sky_names import Owner
from gliderport_prefect.sites.sky_options import WorkerEnvironment
from gliderport_prefect.sites.sky_site import SkySite
from gliderport_prefect.sites.sky_task import TaskBuilder
from gliderport_prefect.sites.skypilot import SkyPilot
from gliderport_prefect.sites.watched import Watched
from tests.waiting import wait_until

_TEMPLATE = {
    "resources": {"infra": "aws/us-east-1", "cpus": "4+", "use_spot": True, "disk_size": 100},
    "setup": "pip install numpy\n",
    "envs": {"MODE": "fast"},
}


def main() -> None:
    """Decide for the workers, and say when that was and how long it took until all were asked for."""
    names = [WorkerName(f"worker-{number:04d}") for number in range(1, int(sys.argv[1]) + 1)]
    tasks = TaskBuilder(
        _TEMPLATE,
        Owner("bench", "s3://bucket/runs"),
        start=lambda _: start_script(f"gliderport/bundle/{'0' * 64}/worker.pyz"),
        environment=lambda: WorkerEnvironment({"AWS_REGION": "us-east-1"}, {"AWS_ACCESS_KEY_ID": "none"}),
    )
    with Watched(SkySite(SkyPilot(), tasks), every=12) as site:
        wait_until(lambda: site.is_known or bool(site.trouble), "the site was looked at", timeout_seconds=120)
        decided_at, began = time.monotonic(), time.process_time()
        site.start(names)
        wait_until(lambda: site.asked == 0 or bool(site.trouble), "the site has taken all", timeout_seconds=600)
        cpu_seconds = time.process_time() - began
        print(json.dumps({"decided_at": decided_at, "cpu_seconds": cpu_seconds, "trouble": site.trouble}))


if __name__ == "__main__":
    main()
