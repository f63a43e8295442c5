"""Campaigns whose workers are managed jobs of a real SkyPilot: many jobs, lost machines, lost launchers."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gliderport_prefect.cli.exits import Exit
from gliderport_prefect.protocol.ids import CampaignId
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.store import open_store
from tests.s3server import RadosGateway, S3Root
from tests.skypilot.person import Person
from tests.skypilot.rig.stand import Rig
from tests.waiting import wait_until

pytestmark = pytest.mark.s3


def done_by(rig: Rig, campaign: str) -> Counter[str]:
    """Return how often each job came to its end, as the jobs themselves wrote it down outside of our system."""
    record = rig.shared_folder / campaign
    return Counter(record.read_text().split() if record.exists() else ())


def wait_for_node(rig: Rig, person: Person, campaign: str) -> str:
    """Wait until a worker of the campaign is on a node, and return which."""
    found: list[str] = []

    def look() -> bool:
        found[:] = [node for job in person.managed_jobs(campaign) if (node := rig.find_node(job.number))]
        return bool(found)

    wait_until(look, f"a worker of {campaign} is on a node", timeout_seconds=200, poll_seconds=1)
    return found[0]


@pytest.fixture(scope="module", autouse=True)
def broken(
    rig: Rig, s3_server: RadosGateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Person, subprocess.Popen[bytes]]]:
    """Start a campaign whose machines cannot be set up; it takes its time beside the others."""
    person = Person(rig, tmp_path_factory.mktemp("broken"), s3_server.make_root())
    setup = "echo the driver is missing >&2; exit 3"
    file = person.write(
        "broken", run="true", each="1..4", machine={"cpus": 1}, setup=setup, policy={"start_failure_limit": 1}
    )
    yield person, person.start("run", file, log="broken.log")
    person.leave()


def test_machines_that_the_cluster_does_not_have_are_refused_before_anything_starts(person: Person) -> None:
    file = person.write("giants", run="true", each="1..2", machine={"cpus": 640}, workers=1)

    said = person.run("run", file)

    assert said.returncode == Exit.MISTAKE, said.stderr
    assert "640" in said.stderr
    assert person.managed_jobs("giants") == []
    assert "giants" not in person.run("list").stdout


def test_two_hundred_jobs_on_three_workers_survive_the_loss_of_a_node(rig: Rig, person: Person) -> None:
    run = f"sleep 3; echo {{n}} >> {rig.shared_folder}/storm"
    file = person.write("storm", run=run, each="1..200", machine={"cpus": 5}, workers=3)
    launcher = person.start("run", file, log="storm.log")

    def count_busy() -> int:
        return sum(1 for each in person.list_workers("storm") if each["running"])

    wait_until(lambda: count_busy() == 3, "three workers run jobs", timeout_seconds=240, poll_seconds=1)
    node = wait_for_node(rig, person, "storm")
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


def test_a_setup_that_fails_is_told_with_its_last_lines_and_not_started_for_ever(
    broken: tuple[Person, subprocess.Popen[bytes]],
) -> None:
    person, launcher = broken
    code, said = person.finish(launcher, log="broken.log")

    assert code == Exit.STUCK, said
    assert "the driver is missing" in said
    assert len(person.managed_jobs("broken")) == 1
    assert all(job.has_ended for job in person.managed_jobs("broken"))


def test_a_second_launcher_goes_on_and_what_was_forgotten_is_reaped_and_what_was_cancelled_ends(
    rig: Rig, person: Person, s3_root: S3Root
) -> None:
    run = f"sleep 2; echo {{n}} >> {rig.shared_folder}/relay"
    relay = person.write("relay", run=run, each="1..40", machine={"cpus": 1}, workers=2)
    files = {
        name: person.write(name, run="sleep 100000", each="1..2", machine={"cpus": 1}, workers=1)
        for name in ("endless", "forgotten")
    }
    beside = {name: person.start("run", file, log=f"{name}.log") for name, file in files.items()}
    first = person.start("run", relay, log="relay.log")
    person.wait_for_successes("relay", 4)
    for name, launcher in beside.items():
        wait_until(lambda n=name: person.counts(n).get("RUNNING"), f"{name} runs too", timeout_seconds=200)
        if name == "forgotten":
            launcher.kill()
            launcher.wait()
    first.kill()
    first.wait()
    open_store(s3_root.url, s3_root.options).delete([CampaignKeys(CampaignId("forgotten")).identity])
    before = {job.number for job in person.managed_jobs("relay")}

    reaped = person.run("reap", "--site", "skypilot", "--bucket", s3_root.url, "--json")
    resumed = person.run("resume", "relay")

    assert reaped.returncode == 0, reaped.stderr
    document = json.loads(reaped.stdout)
    assert [(each["campaign"], each["why"]) for each in document["ended"]] == [
        ("forgotten", "its bucket holds no such campaign")
    ]
    assert {each["campaign"] for each in document["left"]} == {"relay", "endless"}
    assert all(job.has_ended for job in person.managed_jobs("forgotten"))

    assert resumed.returncode == 0, resumed.stderr
    assert done_by(rig, "relay") == Counter({str(n): 1 for n in range(1, 41)})
    assert {job.number for job in person.managed_jobs("relay")} == before
    assert all(job.has_ended for job in person.managed_jobs("relay"))
    assert [job.status for job in person.managed_jobs("endless")] == ["RUNNING"]

    assert person.run("cancel", "endless").returncode == 0
    code, said = person.finish(beside["endless"], log="endless.log")
    assert code == Exit.CANCELLED, said
    assert all(job.has_ended for job in person.managed_jobs("endless"))


def test_more_workers_than_the_cluster_has_room_for_wait_while_the_others_do_the_work_of_somebody_elsewhere(
    rig: Rig, s3_root: S3Root, tmp_path: Path
) -> None:
    """The person's machine knows the API server's address only, as one of a company does."""
    person = Person(rig, tmp_path, s3_root, is_elsewhere=True)
    most = len(rig.nodes)
    file = person.write(
        "crowd",
        run=f"sleep 20; echo {{n}} >> {rig.shared_folder}/crowd",
        each=f"1..{most + 2}",
        machine={"cpus": 8},
        workers=most + 2,
        defaults={"resources": {"cpus": 8}},
    )

    said = person.run("run", file)

    assert said.returncode == 0, said.stderr
    assert done_by(rig, "crowd") == Counter({str(n): 1 for n in range(1, most + 3)})
    assert all(job.has_ended for job in person.managed_jobs("crowd"))


def test_jobs_go_on_without_an_api_server_and_a_lost_machine_is_replaced_by_skypilot(rig: Rig, person: Person) -> None:
    run = f"sleep 2; echo {{n}} >> {rig.shared_folder}/phoenix"
    file = person.write("phoenix", run=run, each="1..40", machine={"cpus": 1}, workers=1, defaults={"retries": 0})
    launcher = person.start("run", file, log="phoenix.log")
    person.wait_for_successes("phoenix", 2)
    rig.kill_api_server()
    try:
        person.wait_for_successes("phoenix", 8)
    finally:
        rig.start_api_server()
    node = wait_for_node(rig, person, "phoenix")
    rig.kill_node(node)
    try:
        code, said = person.finish(launcher, log="phoenix.log")
    finally:
        rig.start_node(node)

    assert code == 0, said
    assert done_by(rig, "phoenix").keys() == {str(n) for n in range(1, 41)}
    [job] = person.managed_jobs("phoenix")
    assert job.recovery_count == 1
    assert job.has_ended
    sessions = person.list_workers("phoenix")
    assert {each["worker"] for each in sessions} == {"worker-0001"}
    assert sum(each["attempts"] - 1 for each in person.list_jobs("phoenix")) <= 1
