"""From a sky template to the task of a worker."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from gliderport_prefect.errors import UserError
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.sites.seam import Market
from gliderport_prefect.sites.sky_names import Owner
from gliderport_prefect.sites.sky_options import WorkerEnvironment
from gliderport_prefect.sites.sky_task import TaskBuilder, check_template, list_candidates

ONE = WorkerName("worker-0001")
OWNER = Owner("fit", "s3://bucket/runs")
CODES = [70, 75, 79, 134, 137, 139]


def build(template: dict[str, Any], *, market: Market | None = None, **more: dict[str, str]) -> dict[str, Any]:
    environment = WorkerEnvironment(more.get("public", {}), more.get("secret", {}))
    builder = TaskBuilder(template, OWNER, start=lambda _: "start it", environment=lambda: environment)
    return builder.build(ONE, market=market)


def test_a_task_is_the_template_with_a_name_a_command_and_whose_it_is() -> None:
    task = build({"setup": "make", "resources": {"cpus": 2}})
    assert task["setup"] == "make"
    assert task["run"] == "start it"
    assert task["name"] == OWNER.job_name(ONE)
    assert task["resources"]["cpus"] == 2
    assert task["envs"] == OWNER.variables(ONE)
    assert "secrets" not in task


def test_the_template_itself_is_left_as_it_is() -> None:
    template: dict[str, Any] = {"resources": {"any_of": [{"cpus": 2, "use_spot": True}]}, "envs": {"A": "b"}}
    before = copy.deepcopy(template)
    build(template, market=Market.ON_DEMAND, secret={"KEY": "x"})
    assert template == before


def test_what_the_worker_needs_goes_before_what_the_template_says() -> None:
    task = build(
        {"envs": {"A": "1", "AWS_REGION": "x"}, "secrets": {"TOKEN": None}},
        public={"AWS_REGION": "eu-west-1"},
        secret={"TOKEN": "t", "AWS_SECRET_ACCESS_KEY": "s"},
    )
    assert task["envs"]["A"] == "1"
    assert task["envs"]["AWS_REGION"] == "eu-west-1"
    assert task["secrets"] == {"TOKEN": "t", "AWS_SECRET_ACCESS_KEY": "s"}


def test_secrets_that_skypilot_is_to_find_stay_named() -> None:
    assert build({"secrets": ["secrets:TOKEN"]}, secret={"KEY": "k"})["secrets"] == {"secrets:TOKEN": None, "KEY": "k"}


def test_no_secret_is_shown_with_the_environment() -> None:
    assert "s3cr3t" not in repr(WorkerEnvironment({}, {"KEY": "s3cr3t"}))


def test_a_worker_that_crashed_or_lost_the_bucket_or_its_machine_is_started_again() -> None:
    assert build({})["resources"]["job_recovery"] == {"recover_on_exit_codes": CODES}


@pytest.mark.parametrize(
    ("written", "merged"),
    [
        ("FAILOVER", {"strategy": "FAILOVER", "recover_on_exit_codes": CODES}),
        ({"recover_on_exit_codes": 33}, {"recover_on_exit_codes": [33, *CODES]}),
        (
            {"max_restarts_on_errors": 3, "recover_on_exit_codes": [75, 1]},
            {"max_restarts_on_errors": 3, "recover_on_exit_codes": [1, *CODES]},
        ),
    ],
)
def test_the_templates_own_recovery_is_kept(written: object, merged: dict[str, Any]) -> None:
    assert build({"resources": {"job_recovery": written}})["resources"]["job_recovery"] == merged
    choices = build({"resources": {"ordered": [{"job_recovery": written}]}})["resources"]["ordered"]
    assert choices == [{"job_recovery": merged}]


@pytest.mark.parametrize("choices", ["any_of", "ordered"])
def test_a_market_holds_for_every_machine_that_may_be_chosen(choices: str) -> None:
    template: dict[str, Any] = {"resources": {choices: [{"infra": "aws", "use_spot": True}, {"infra": "gcp"}]}}
    spot, kept = build(template, market=Market.SPOT), build(template, market=Market.ON_DEMAND)
    assert [each.get("use_spot") for each in list_candidates(spot)] == [True, True]
    assert [each.get("use_spot") for each in list_candidates(kept)] == [False, False]
    assert [each.get("use_spot") for each in list_candidates(build(template))] == [True, None]


def test_a_worker_knows_that_its_machine_may_be_taken_back() -> None:
    mixed: dict[str, Any] = {"resources": {"any_of": [{"use_spot": True}, {"use_spot": False}]}}
    assert build(mixed)["envs"]["GLIDERPORT_PREEMPTIBLE"] == "1"
    assert "GLIDERPORT_PREEMPTIBLE" not in build(mixed, market=Market.ON_DEMAND)["envs"]
    assert build({}, market=Market.SPOT)["envs"]["GLIDERPORT_PREEMPTIBLE"] == "1"
    assert "GLIDERPORT_PREEMPTIBLE" not in build({})["envs"]


def test_labels_of_the_template_are_kept() -> None:
    labels = build({"resources": {"labels": {"team": "x"}}})["resources"]["labels"]
    assert labels == {"team": "x", **OWNER.labels(ONE)}


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ({"run": "x"}, "run"),
        ({"service": {}}, "service"),
        ({"pool": {}}, "pool"),
        ({"num_nodes": 2}, "num_nodes"),
        ({"resources": ["a"]}, "resources"),
    ],
)
def test_what_is_no_single_machine_is_refused(template: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError) as refused:
        check_template(template)
    assert refused.value.key == f"sky_template.{key}"
