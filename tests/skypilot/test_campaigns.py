"""Campaigns whose workers are managed jobs of a real SkyPilot: many jobs, lost machines, lost launchers."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Ended:
    """A campaign whose launcher has ended by itself."""

    person: Person
    """Who ran it."""
    code: int
    """What the launcher exited with."""
    said: str
    """What it said."""


@pytest.fixture(scope="module")
def scene(rig: Rig, s3_server: RadosGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ended]]:
    """Run three campaigns side by side, kill a node under load, and give how each of them ended.

    `storm` has many jobs, the set-up of `broken` fails, and `crowd` wants more nodes than are left; it is driven from a
    machine that knows SkyPilot's API server by its address only.
    """
    folder, root = tmp_path_factory.mktemp("scene"), s3_server.make_root()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    here, there = Person(rig, folder, root), Person(rig, elsewhere, root, is_elsewhere=True)
    broken = here.write(
        "broken",
        run="true",
        each="1..4",
        machine={"cpus": 1},
        setup="echo the driver is missing >&2; exit 3",
        policy={"start_failure_limit": 1},
    )
    storm = here.write("storm", run=_leave_word(rig, "storm", seconds=3), each="1..200", machine={"cpus": 5}, workers=3)
    crowd = there.write(
        "crowd",
        run=_leave_word(rig, "crowd", seconds=10),
        each="1..4",
        machine={"cpus": 8},
        workers=3,
        defaults={"resources": {"cpus": 8}},
    )
    launchers = {
        "broken": here.start("run", broken, log="broken.log"),
        "storm": here.start("run", storm, log="storm.log"),
    }

    def count_busy() -> int:
        return sum(1 for each in here.list_workers("storm") if each["running"])

    wait_until(lambda: count_busy() == 3, "three workers run jobs", timeout_seconds=300, poll_seconds=1)
    launchers["crowd"] = there.start("run", crowd, log="crowd.log")
    node = wait_for_node(rig, here, "storm")
    rig.kill_node(node)
    try:
        owners = {"broken": here, "storm": here, "crowd": there}
        ends = {name: owners[name].finish(each, log=f"{name}.log") for name, each in launchers.items()}
    finally:
        rig.start_node(node)
    yield {name: Ended(owners[name], code, said) for name, (code, said) in ends.items()}
    here.leave()
    there.leave()


def test_machines_that_the_cluster_does_not_have_are_refused_before_anything_starts(person: Person) -> None:
    file = person.write("giants", run="true", each="1..2", machine={"cpus": 640}, workers=1)

    said = person.run("run", file)

    assert said.returncode == Exit.MISTAKE, said.stderr
    assert "640" in said.stderr
    assert person.managed_jobs("giants") == []
    assert "giants" not in person.run("list").stdout


def test_two_hundred_jobs_on_three_workers_survive_the_loss_of_a_node(rig: Rig, scene: dict[str, Ended]) -> None:
    storm = scene["storm"]
    assert storm.code == 0, storm.said
    jobs = storm.person.list_jobs("storm")
    assert [each["state"] for each in jobs] == ["SUCCEEDED"] * 200
    assert any(each["attempts"] > 1 for each in jobs)
    assert done_by(rig, "storm").keys() == {str(n) for n in range(1, 201)}
    assert all(job.has_ended for job in storm.person.managed_jobs("storm"))


def test_a_setup_that_fails_is_told_with_its_last_lines_and_not_started_for_ever(scene: dict[str, Ended]) -> None:
    broken = scene["broken"]
    assert broken.code == Exit.STUCK, broken.said
    assert "the driver is missing" in broken.said
    assert len(broken.person.managed_jobs("broken")) == 1
    assert all(job.has_ended for job in broken.person.managed_jobs("broken"))


def test_workers_for_whom_there_is_no_room_wait_while_the_others_do_the_work(rig: Rig, scene: dict[str, Ended]) -> None:
    crowd = scene["crowd"]
    assert crowd.code == 0, crowd.said
    assert done_by(rig, "crowd") == Counter({str(n): 1 for n in range(1, 5)})
    workers = crowd.person.managed_jobs("crowd")
    assert len(workers) > 1
    assert all(job.has_ended for job in workers)


def test_a_second_launcher_goes_on_the_forgotten_is_reaped_and_a_lost_machine_is_replaced_by_skypilot(
    rig: Rig, person: Person, s3_root: S3Root
) -> None:
    relay = person.write(
        "relay", run=_leave_word(rig, "relay", seconds=2), each="1..40", machine={"cpus": 1}, workers=2
    )
    endless = f"while sleep 1; do echo $GLIDERPORT_ATTEMPT >> {rig.shared_folder}/endless; done"
    runs = {"endless": endless, "forgotten": "sleep 100000"}
    beside = {
        name: person.start(
            "run",
            person.write(name, run=run, each="1..1", machine={"cpus": 1}, defaults={"retries": 0}),
            log=f"{name}.log",
        )
        for name, run in runs.items()
    }
    first = person.start("run", relay, log="relay.log")
    person.wait_for_successes("relay", 4)
    for name in beside:
        wait_until(lambda n=name: person.counts(n).get("RUNNING"), f"{name} runs too", timeout_seconds=200)
    for launcher in (beside["forgotten"], first):
        launcher.kill()
        launcher.wait()
    open_store(s3_root.url, s3_root.options).delete([CampaignKeys(CampaignId("forgotten")).identity])
    before = {job.number for job in person.managed_jobs("relay")}

    reaped = person.run("reap", "--site", "skypilot", "--bucket", s3_root.url, "--json")
    resumed = person.run("resume", "relay")

    _check_reaped(reaped, person)
    assert resumed.returncode == 0, resumed.stderr
    assert done_by(rig, "relay") == Counter({str(n): 1 for n in range(1, 41)})
    assert {job.number for job in person.managed_jobs("relay")} == before
    assert all(job.has_ended for job in person.managed_jobs("relay"))

    _check_work_without_api_server(rig)
    _check_recovery(rig, person)

    assert person.run("cancel", "endless").returncode == 0
    code, said = person.finish(beside["endless"], log="endless.log")
    assert code == Exit.CANCELLED, said
    assert all(job.has_ended for job in person.managed_jobs("endless"))


def _check_reaped(reaped: subprocess.CompletedProcess[str], person: Person) -> None:
    assert reaped.returncode == 0, reaped.stderr
    document = json.loads(reaped.stdout)
    assert [(each["campaign"], each["why"]) for each in document["ended"]] == [
        ("forgotten", "its bucket holds no such campaign")
    ]
    assert {each["campaign"] for each in document["left"]} == {"relay", "endless"}
    assert all(job.has_ended for job in person.managed_jobs("forgotten"))
    assert [job.status for job in person.managed_jobs("endless")] == ["RUNNING"]


def _check_work_without_api_server(rig: Rig) -> None:
    rig.kill_api_server()
    try:
        ticks = done_by(rig, "endless").total()
        wait_until(lambda: done_by(rig, "endless").total() > ticks + 3, "the job goes on without an API server")
    finally:
        rig.start_api_server()


def _check_recovery(rig: Rig, person: Person) -> None:
    """Kill the node of the only worker: SkyPilot brings it up elsewhere, and its job runs again at no charge."""
    [job] = person.managed_jobs("endless")
    node = wait_for_node(rig, person, "endless")
    rig.kill_node(node)
    try:
        wait_until(lambda: len(done_by(rig, "endless")) > 1, "the job runs again", timeout_seconds=400, poll_seconds=1)
    finally:
        rig.start_node(node)
    assert rig.read_job(job.number).recovery_count == 1
    assert person.counts("endless") == {"RUNNING": 1} | {
        state: 0 for state in person.counts("endless") if state != "RUNNING"
    }
    assert {each["worker"] for each in person.list_workers("endless")} == {"worker-0001"}


def _leave_word(rig: Rig, campaign: str, *, seconds: int) -> str:
    """Return the command of a job that takes so long and then writes down that it is done."""
    return f"sleep {seconds}; echo {{n}} >> {rig.shared_folder}/{campaign}"
