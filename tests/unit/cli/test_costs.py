"""What a campaign costs and may cost, from the estimate to the last word, with real workers of this machine."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from gliderport_prefect.campaign.replay import replay
from gliderport_prefect.cli.exits import Exit
from gliderport_prefect.cli.opening import open_campaign
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.protocol.machines import Machine, Market, WorkerState
from gliderport_prefect.protocol.records import Request, RequestKind, Sighting, timestamp
from tests.unit.board.stage import Stage, many
from tests.unit.cli.conftest import Command

DOLLAR_A_SECOND = 3600


def document(gliderport: Command, *arguments: object) -> dict[str, Any]:
    """Return what a command says as JSON."""
    return json.loads(gliderport(*arguments, "--json").stdout)


def test_the_estimate_says_what_workers_cost_and_bounds_what_jobs_cost(gliderport: Command, home: Path) -> None:
    file = home / "campaign.yaml"
    file.write_text(
        "workers: {max: 4, cpus: 2, price: 0.5}\nbudget: 20\neach: 1..100\n"
        "job: {run: 'true', timeout: 1h, resources: {cpus: 1}}\n"
    )
    said = gliderport("validate", file).stdout
    assert re.search(r"^cost: +a worker \$0\.50/h; 4 workers for an hour: \$2\.00$", said, re.MULTILINE)
    assert re.search(r"^at most: +\$25\.00 for the jobs if each takes all of its timeout, once$", said, re.MULTILINE)
    assert re.search(r"^budget: +\$20\.00$", said, re.MULTILINE)
    estimate = document(gliderport, "validate", file)["estimate"]
    assert (estimate["price_per_hour"], estimate["at_most"], estimate["budget"]) == (0.5, 25.0, 20.0)


def test_where_workers_cost_nothing_nothing_is_said_of_money(gliderport: Command) -> None:
    said = gliderport("validate", "--each", "1..3", "true").stdout
    assert "cost:" not in said
    assert "$" not in said


def test_jobs_without_a_timeout_have_no_bound(gliderport: Command) -> None:
    assert "at most:" not in gliderport("validate", "--each", "1..3", "--worker-price", "1", "true").stdout


def test_a_budget_that_is_no_amount_is_refused(gliderport: Command, home: Path) -> None:
    assert "no amount of US dollars" in gliderport("validate", "--each", "1..3", "--budget", "-1", "true").stderr
    file = home / "campaign.yaml"
    file.write_text("budget: plenty\njobs: [{id: a, run: 'true'}]\n")
    said = gliderport("validate", file)
    assert said.code == Exit.MISTAKE
    assert "campaign.yaml:1: budget: 'plenty' is no amount of US dollars" in said.stderr


def test_a_campaign_ends_at_its_budget_and_goes_on_with_a_higher_one(gliderport: Command) -> None:
    order = ["--each", "1..12", "--name", "demo", "--worker-cpus", "1", "--worker-price", DOLLAR_A_SECOND]
    first = gliderport("run", *order, "--budget", "2.5", "sleep 0.5")
    assert first.code == Exit.BUDGET, first.stderr
    assert re.search(r"cost: a worker \$3,600\.00/h; 1 worker for an hour: \$3,600\.00", first.stderr)
    assert re.search(r"error: campaign 'demo' has cost \$\d\.\d\d of its budget of \$2\.50; \d+ jobs", first.stderr)
    assert "gliderport resume demo --bucket file://" in first.stderr

    standing = document(gliderport, "status", "demo")
    assert standing["budget"] == 2.5
    assert standing["cost"]["on_demand"] >= 2.5
    assert 0 < standing["jobs"]["QUEUED"] < 12
    assert standing["jobs"]["QUEUED"] + standing["jobs"]["SUCCEEDED"] == 12
    (gone,) = document(gliderport, "workers", "demo", "--all")["workers"]
    assert (gone["state"], gone["market"]) == ("gone", "ON_DEMAND")

    again = gliderport("run", *order, "sleep 0.5")
    assert again.code == Exit.BUDGET, again.stderr  # nothing new starts as long as nobody says so
    assert len(document(gliderport, "workers", "demo", "--all")["workers"]) == 1

    second = gliderport("resume", "demo", "--budget", "1000")
    assert second.code == 0, second.stderr
    assert "cost so far: $" in second.stdout
    check_costs(gliderport)


def check_costs(gliderport: Command) -> None:
    """Check that workers, jobs and campaign tell the same cost."""
    cost = document(gliderport, "status", "demo")["cost"]
    workers = document(gliderport, "workers", "demo", "--all")["workers"]
    jobs = document(gliderport, "jobs", "demo")["jobs"]
    assert sum(each["cost"] or 0 for each in workers) == cost["total"]
    assert sum(each["cost"] for each in jobs) - cost["used"] < 1e-6
    assert all(each["cost"] >= 0.5 for each in jobs)
    assert cost["unused"] > 0
    later = document(gliderport, "status", "demo")["cost"]
    assert later == cost, "a campaign that is over goes on to cost something"
    said = gliderport("status", "demo").stdout
    assert "cost:      $" in said
    assert "waiting:" not in said
    state = replay(open_campaign(None, "demo"))
    assert state.finished
    assert all(meter.is_gone for meter in state.fleet.meters.values())


def test_a_running_launcher_is_told_of_a_higher_budget(gliderport: Command, home: Path) -> None:
    stage = Stage(home / "bucket", many(3))
    stage.turn()
    stage.claim(os.getppid())
    said = gliderport("resume", "demo", "--bucket", home / "bucket", "--budget", "7")
    assert said.code == 0
    assert "may cost $7.00 from now on" in said.stderr
    request = stage.runtime.read_numbered(Request, stage.runtime.keys.requests, number=1)
    assert request is not None
    assert (request.kind, request.budget) == (RequestKind.BUDGET, 7.0)
    stage.turn()
    assert document(gliderport, "status", "demo", "--bucket", home / "bucket")["budget"] == 7.0


def test_workers_tells_of_machines_that_have_not_spoken(gliderport: Command, home: Path) -> None:
    stage = Stage(home / "bucket", many(1))
    machine = Machine("sky-7", "aws/us-east-1", "m6i.large", Market.SPOT, 0.25)
    sighting = Sighting(WorkerName("worker-0007"), WorkerState.STARTING, timestamp(0), machine, 2, "setup runs\nline")
    stage.drive().note_workers([sighting])
    heading, row = gliderport("workers", "demo", "--bucket", home / "bucket").stdout.splitlines()
    assert heading.split() == [
        *("WORKER", "STATE", "FOR", "RUNNING", "QUEUED", "CLUSTER", "INFRA", "MACHINE", "MARKET", "RECOVERIES"),
        *("PRICE", "COST", "REASON"),
    ]
    for word in (
        "worker-0007",
        "starting",
        "sky-7",
        "aws/us-east-1",
        "m6i.large",
        "spot",
        " 2 ",
        "$0.25/h",
        "setup runs",
    ):
        assert word in row
