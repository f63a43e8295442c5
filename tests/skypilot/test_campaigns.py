"""Campaigns whose workers are managed jobs of a real SkyPilot: many jobs, lost machines, lost launchers."""

from __future__ import annotations

from collections import Counter

import pytest

from gliderport_prefect.cli.exits import Exit
from tests.skypilot.person import Person
from tests.skypilot.rig.stand import Rig
from tests.waiting import wait_until

pytestmark = pytest.mark.s3


def done_by(rig: Rig, campaign: str) -> Counter[str]:
    """Return how often each job came to its end, as the jobs themselves wrote it down outside of our system."""
    record = rig.shared_folder / campaign
    return Counter(record.read_text().split() if record.exists() else ())


def test_two_hundred_jobs_on_three_workers_survive_the_loss_of_a_node(rig: Rig, person: Person) -> None:
    run = f"sleep 3; echo {{n}} >> {rig.shared_folder}/storm"
    file = person.write("storm", run=run, each="1..200", machine={"cpus": 5}, workers=3)
    launcher = person.start("run", file, log="storm.log")

    def count_busy() -> int:
        return sum(1 for each in person.list_workers("storm") if each["running"])

    wait_until(lambda: count_busy() == 3, "three workers run jobs", timeout_seconds=240, poll_seconds=1)
    node = next(node for job in person.managed_jobs("storm") if (node := rig.find_node(job.number)))
    rig.kill_node(node)
    try:
        code, said = person.finish(launcher, log="storm.log")
    finally:
        rig.start_node(node)

    assert code == 0, said
    jobs = person.list_jobs("storm")
    assert [each["state"] for each in jobs] == ["SUCCEEDED"] * 200
    assert any(each["attempts"] > 1 for each in jobs)
    assert done_by(rig, "storm").keys() == {str(n) for n in range(1, 201)}
    assert all(job.has_ended for job in person.managed_jobs("storm"))


def test_a_second_launcher_goes_on_and_a_campaign_beside_it_is_cancelled(rig: Rig, person: Person) -> None:
    run = f"sleep 2; echo {{n}} >> {rig.shared_folder}/relay"
    relay = person.write("relay", run=run, each="1..40", machine={"cpus": 1}, workers=2)
    endless = person.write("endless", run="sleep 100000", each="1..2", machine={"cpus": 1}, workers=1)
    beside = person.start("run", endless, log="endless.log")
    first = person.start("run", relay, log="relay.log")
    person.wait_for_successes("relay", 4)
    wait_until(lambda: person.counts("endless").get("RUNNING"), "the other runs too", timeout_seconds=200)
    first.kill()
    first.wait()
    before = {job.number for job in person.managed_jobs("relay")}

    resumed = person.run("resume", "relay")

    assert resumed.returncode == 0, resumed.stderr
    assert done_by(rig, "relay") == Counter({str(n): 1 for n in range(1, 41)})
    assert {job.number for job in person.managed_jobs("relay")} == before
    assert all(job.has_ended for job in person.managed_jobs("relay"))
    assert [job.status for job in person.managed_jobs("endless")] == ["RUNNING"]

    assert person.run("cancel", "endless").returncode == 0
    code, said = person.finish(beside, log="endless.log")
    assert code == Exit.CANCELLED, said
    assert all(job.has_ended for job in person.managed_jobs("endless"))


def test_machines_that_the_cluster_does_not_have_are_refused_before_anything_starts(person: Person) -> None:
    file = person.write("giants", run="true", each="1..2", machine={"cpus": 640}, workers=1)

    said = person.run("run", file)

    assert said.returncode == Exit.MISTAKE, said.stderr
    assert "640" in said.stderr
    assert person.managed_jobs("giants") == []
    assert "giants" not in person.run("list").stdout


def test_more_workers_than_the_cluster_has_room_for_wait_and_the_others_do_the_work(rig: Rig, person: Person) -> None:
    most = len(rig.nodes)
    run = f"sleep 20; echo {{n}} >> {rig.shared_folder}/crowd"
    file = person.write(
        "crowd",
        run=run,
        each=f"1..{most + 2}",
        machine={"cpus": 8},
        workers=most + 2,
        defaults={"resources": {"cpus": 8}},
    )

    said = person.run("run", file)

    assert said.returncode == 0, said.stderr
    assert done_by(rig, "crowd") == Counter({str(n): 1 for n in range(1, most + 3)})
    assert all(job.has_ended for job in person.managed_jobs("crowd"))


def test_a_setup_that_fails_is_told_with_its_last_lines_and_not_started_for_ever(person: Person) -> None:
    file = person.write(
        "broken",
        run="true",
        each="1..4",
        machine={"cpus": 1},
        setup="echo the driver is missing >&2; exit 3",
        workers=1,
        policy={"start_failure_limit": 1},
    )

    said = person.run("run", file)

    assert said.returncode == Exit.STUCK, said.stderr
    assert "the driver is missing" in said.stderr
    assert len(person.managed_jobs("broken")) == 1
    assert all(job.has_ended for job in person.managed_jobs("broken"))


def test_a_campaign_goes_on_while_the_api_server_is_away(rig: Rig, person: Person) -> None:
    run = f"sleep 2; echo {{n}} >> {rig.shared_folder}/lonely"
    file = person.write("lonely", run=run, each="1..30", machine={"cpus": 1}, workers=1)
    launcher = person.start("run", file, log="lonely.log")
    person.wait_for_successes("lonely", 2)
    rig.kill_api_server()
    try:
        person.wait_for_successes("lonely", 30)
    finally:
        rig.start_api_server()
    code, said = person.finish(launcher, log="lonely.log")

    assert code == 0, said
    assert done_by(rig, "lonely") == Counter({str(n): 1 for n in range(1, 31)})
    assert all(job.has_ended for job in person.managed_jobs("lonely"))
