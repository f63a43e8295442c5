"""Sky templates for the clouds, through SkyPilot's own parser and optimizer, with catalogs of our own and no cloud."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.sites.seam import Market
from gliderport_prefect.sites.sky_names import Owner
from gliderport_prefect.sites.sky_options import WorkerEnvironment
from gliderport_prefect.sites.sky_prices import Choice, derive_offer, read_choice
from gliderport_prefect.sites.sky_task import TaskBuilder, list_candidates

_GIB = 2**30
_EVERYWHERE: list[dict[str, Any]] = [{"infra": "aws"}, {"infra": "gcp"}, {"infra": "azure"}]

Ask = Callable[..., list[dict[str, str]]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Return what puts tasks before SkyPilot's optimizer."""
    environ = {**os.environ, "HOME": str(tmp_path), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    client = Path(__file__).with_name("cloud_client.py")

    def put(*tasks: dict[str, Any]) -> list[dict[str, str]]:
        command = [sys.executable, "-W", "ignore", str(client)]
        done = subprocess.run(
            command, input=json.dumps(tasks), env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return put


def task(template: dict[str, Any], market: Market | None = None, campaign: str = "Fit_42.a") -> dict[str, Any]:
    """Return the task of a worker, with everything that Gliderport adds."""
    environment = WorkerEnvironment({"AWS_REGION": "us-east-1"}, {"AWS_SECRET_ACCESS_KEY": "s"})
    owner = Owner(campaign, "s3://bucket/runs")
    builder = TaskBuilder(template, owner, start=lambda _: "true", environment=lambda: environment)
    return builder.build(WorkerName("worker-0001"), market=market)


def choices(answers: list[dict[str, str]]) -> list[Choice]:
    found = [read_choice(each.get("table", "")) for each in answers]
    assert None not in found, answers
    return [each for each in found if each is not None]


def test_each_cloud_takes_labels_recovery_and_secrets_of_a_worker(ask: Ask) -> None:
    templates = [{"resources": {**each, "cpus": 4, "job_recovery": "FAILOVER"}} for each in _EVERYWHERE]
    aws, gcp, azure = choices(ask(*[task(each) for each in templates]))
    assert (aws.kind, aws.price_per_hour) == ("m6i.xlarge in aws/us-east-1", 0.19)
    assert (gcp.kind, gcp.price_per_hour) == ("n2-standard-4 in gcp/us-central1-a", 0.19)
    assert (azure.kind, azure.price_per_hour) == ("Standard_D4s_v5 in azure/eastus", 0.19)
    assert {each.market for each in (aws, gcp, azure)} == {Market.ON_DEMAND}
    assert {(each.cpus, each.memory_bytes) for each in (aws, gcp, azure)} == {(4.0, 16 * _GIB)}


@pytest.mark.parametrize("key", ["any_of", "ordered"])
def test_a_market_holds_for_every_cloud_that_may_be_chosen(ask: Ask, key: str) -> None:
    mixed = {"resources": {"cpus": 4, key: [{**_EVERYWHERE[0], "use_spot": True}, {**_EVERYWHERE[1]}]}}
    written, spot, kept = choices(ask(task(mixed), task(mixed, Market.SPOT), task(mixed, Market.ON_DEMAND)))
    assert (written.market, spot.market, kept.market) == (Market.SPOT, Market.SPOT, Market.ON_DEMAND)
    assert spot.price_per_hour < kept.price_per_hour


def test_a_machine_with_a_gpu_is_offered_with_it(ask: Ask) -> None:
    template = {"resources": {"accelerators": "A10G:1", "use_spot": True, "disk_size": 100}}
    (choice,) = choices(ask(task(template)))
    offer = derive_offer(choice, list_candidates(template))
    assert (offer.gpus, offer.gpu_type, offer.cpus, offer.disk_bytes) == (1, "A10G", 4.0, 80 * _GIB)


def test_the_price_of_many_tells_the_price_of_one_that_costs_less_than_a_cent(ask: Ask) -> None:
    tiny = task({"resources": {"infra": "aws", "instance_type": "t3.nano", "use_spot": True}})
    one, many = choices(ask(tiny, {**tiny, "num_nodes": 1000}))
    assert one.price_per_hour == 0.0
    assert many.price_per_hour / 1000 == pytest.approx(0.0016)


def test_what_no_cloud_has_is_refused_in_skypilots_words(ask: Ask) -> None:
    impossible, unknown = ask(
        task({"resources": {"infra": "aws", "accelerators": "H100:8"}}), task({"resources": {"cpsu": 4}})
    )
    assert impossible["error"] == "ResourcesUnavailableError"
    assert "H100" in impossible["said"]
    assert "cpus" in unknown["said"]
