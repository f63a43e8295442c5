"""What jobs name as their secrets: known by name wherever the campaign is resumed, stored nowhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gliderport_prefect.errors import UserError
from gliderport_prefect.lifecycle.launch import launch
from gliderport_prefect.lifecycle.order import Order
from gliderport_prefect.lifecycle.plan import Plan, open_bucket, plan_of
from gliderport_prefect.lifecycle.plan import open_runtime as open_campaign
from gliderport_prefect.lifecycle.prepare import prepare
from gliderport_prefect.lifecycle.secrets import name_secrets, warn_of_end
from gliderport_prefect.lifecycle.upload import upload
from gliderport_prefect.protocol.ids import CampaignId


def submit(folder: Path, jobs: dict[str, list[str]]) -> Plan:
    """Submit jobs, each with the secrets that it needs."""
    listed = [{"id": name, "run": "true", "secrets": needed} for name, needed in jobs.items()]
    (folder / "campaign.yaml").write_text(json.dumps({"jobs": listed}))
    order = Order(str(folder / "bucket"), "c", str(folder / "campaign.yaml"))
    plan = prepare(order)
    upload(order, plan)
    return plan


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FIRST", "SECOND", "THIRD"):
        monkeypatch.setenv(name, f"value-of-{name}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.usefixtures("secrets")
def test_the_names_of_all_jobs_are_found_again_in_the_bucket_and_no_value_is(
    tmp_path: Path,
) -> None:
    assert submit(tmp_path, {"a": ["SECOND"], "b": [], "c": ["FIRST", "SECOND"]}).secrets == ("FIRST", "SECOND")
    plan = plan_of(open_campaign(Plan(CampaignId("c"), str(tmp_path / "bucket"))))
    assert plan.secrets == ("FIRST", "SECOND")
    store = open_bucket(plan.bucket)
    assert not [each.key for each in store.list() if b"value-of-" in (store.get(each.key) or b"")]


@pytest.mark.usefixtures("secrets")
def test_further_jobs_may_need_what_the_first_ones_needed_and_nothing_else(tmp_path: Path) -> None:
    submit(tmp_path, {"a": ["FIRST"]})
    submit(tmp_path, {"a": ["FIRST"], "b": ["FIRST"], "c": []})
    with pytest.raises(UserError, match=r"has begun without THIRD(.|\n)*--campaign NAME"):
        submit(tmp_path, {"a": ["FIRST"], "d": ["THIRD"]})


@pytest.mark.usefixtures("secrets")
def test_workers_get_the_secrets_of_jobs_that_the_source_no_longer_names(tmp_path: Path) -> None:
    submit(tmp_path, {"a": ["FIRST"], "b": ["SECOND"]})
    assert name_secrets(submit(tmp_path, {"b": ["SECOND"]})) == ["FIRST", "SECOND"]


def test_keys_that_will_not_last_are_told_before_they_are_sent(caplog: pytest.LogCaptureFixture) -> None:
    given = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"}
    ends = {**given, "AWS_CREDENTIAL_EXPIRATION": "2099-01-01T00:00:00Z"}
    plan = Plan(CampaignId("c"), "s3://bucket", site="skypilot")
    for each in (plan, replace(plan, site_options={"credentials": "machine"}), replace(plan, site="local")):
        warn_of_end(each, ends)
    assert [each.partition(";")[0] for each in caplog.messages] == [
        "campaign c: the bucket's credentials expire at 2099-01-01 00:00 UTC"
    ]


@pytest.mark.usefixtures("secrets")
def test_no_worker_is_started_without_the_secrets_of_its_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = submit(tmp_path, {"a": ["FIRST"]})
    monkeypatch.delenv("FIRST")
    with pytest.raises(UserError, match=r"need FIRST(.|\n)*export FIRST=…"):
        launch(plan)
