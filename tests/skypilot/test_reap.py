"""Managed jobs that nobody needs any more are found and ended, and no other, by asking a real SkyPilot."""

from __future__ import annotations

import json

import pytest

from gliderport_prefect.protocol.ids import CampaignId
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.store import open_store
from tests.s3server import S3Root
from tests.skypilot.person import Person
from tests.waiting import wait_until

pytestmark = pytest.mark.s3


def test_managed_jobs_of_a_campaign_that_is_not_there_are_ended_and_those_of_a_live_one_are_left(
    person: Person, s3_root: S3Root
) -> None:
    for name in ("forgotten", "lively"):
        file = person.write(name, run="sleep 600", each="1..1", machine={"cpus": 1}, workers=1)
        launcher = person.start("run", file, log=f"{name}.log")
        wait_until(
            lambda n=name: person.managed_jobs(n), f"{name} has a managed job", timeout_seconds=300, poll_seconds=0.5
        )
        if name == "forgotten":
            launcher.kill()
            launcher.wait()
    keys = CampaignKeys(CampaignId("forgotten"))
    open_store(s3_root.url, s3_root.options).delete([keys.identity])

    said = person.run("reap", "--site", "skypilot", "--bucket", s3_root.url, "--json")

    assert said.returncode == 0, said.stderr
    document = json.loads(said.stdout)
    assert [(each["campaign"], each["why"]) for each in document["ended"]] == [
        ("forgotten", "its bucket holds no such campaign")
    ]
    assert [each["campaign"] for each in document["left"]] == ["lively"]
    assert all(job.has_ended for job in person.managed_jobs("forgotten"))
    assert not any(job.has_ended for job in person.managed_jobs("lively"))

    torn_down = person.run("teardown", "lively", "--force")
    assert torn_down.returncode == 0, torn_down.stderr
    assert "stopped 1 workers; none is left" in torn_down.stdout
    assert all(job.has_ended for job in person.managed_jobs("lively"))
    assert person.run("teardown", "lively").returncode == 0
