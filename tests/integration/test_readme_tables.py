"""The README's reference tables say what the code does: every key, example and default."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from gliderport_prefect.board.rows import COLUMNS
from gliderport_prefect.cli.commands import COMMANDS
from gliderport_prefect.cli.exits import Exit
from gliderport_prefect.errors import UserError
from gliderport_prefect.lifecycle.checks import Circumstances, check_submission
from gliderport_prefect.lifecycle.plan import Plan
from gliderport_prefect.presets.campaign_file import CampaignFile, campaign_file_submission
from gliderport_prefect.presets.settings import SETTING_KEYS, parse_settings
from gliderport_prefect.presets.submission import LocatedJob, Place, Submission
from gliderport_prefect.protocol.ids import CampaignId
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.notation import parse_job
from gliderport_prefect.protocol.outcomes import JobState, Outcome
from tests.integration.readme_text import literals, table, values

_JOB, _CAMPAIGN = "Job keys", "Campaign keys"
_EXAMPLE, _DEFAULT = 0, 1
_REQUIRED: Mapping[str, dict[str, Any]] = {"inputs": {"source": "b"}, "checkpoint": {"folder": "b"}}


def _write(path: str, added: Mapping[str, Any]) -> dict[str, Any]:
    """Return what somebody writes who gives the last key of a path such as `inputs[].target`, or leaves it out."""
    outer, dot, _ = path.partition(".")
    if not dot:
        return dict(added)
    name = outer.removesuffix("[]")
    mapping = {**_REQUIRED.get(name, {}), **added}
    return {name: [mapping] if name != outer else mapping}


def _job(path: str, *given: object) -> JobSpec:
    """Return the job with that value at the path, or without one."""
    added = {path.rpartition(".")[2]: value for value in given}
    return parse_job({"id": "a", **({} if path == "python" else {"run": "true"}), **_write(path, added)})


def _known(error: pytest.ExceptionInfo[UserError]) -> set[str]:
    """Return the keys that an error about an unknown one lists."""
    return set((error.value.hint or "").removeprefix("known keys: ").split(", "))


@pytest.mark.parametrize("within", ["", "inputs[].", "outputs[].", "resources.", "checkpoint."])
def test_every_job_key_has_its_row(within: str) -> None:
    with pytest.raises(UserError) as refused:
        _job(f"{within}@", 1)
    rows = [key.strip("`") for key in table(_JOB, "key")]
    assert {key.removeprefix(within) for key in rows if key.startswith(within) and "." not in key[len(within) :]} == (
        _known(refused)
    )


@pytest.mark.parametrize(("key", "example"), values(_JOB, _EXAMPLE))
def test_every_example_of_a_job_key_changes_the_job(key: str, example: object) -> None:
    without = parse_job({"id": "a", "run": "true"}) if key == "python" else _job(key)
    assert _job(key, example) != without


@pytest.mark.parametrize(("key", "default"), values(_JOB, _DEFAULT))
def test_a_job_key_with_its_default_changes_nothing(key: str, default: object) -> None:
    assert _job(key, default) == _job(key)


def test_what_is_marked_as_not_yet_there_is_what_is_refused() -> None:
    refused: set[str] = set()
    for key, example in values(_JOB, _EXAMPLE):
        found = LocatedJob(_job(key, example), Place("a.yaml"))
        try:
            check_submission(Submission(lambda found=found: iter([found]), "a.yaml"), Circumstances({}))
        except UserError as error:
            refused |= {key} if "not supported yet" in str(error) else set()
    assert {key.strip("`") for key, cells in table(_JOB, "key").items() if "not yet" in cells[-1]} == refused


def test_every_campaign_key_has_its_row() -> None:
    rows = [key.strip("`") for key in table(_CAMPAIGN, "key")]
    assert {key for key in rows if "." not in key} == {each.name for each in fields(CampaignFile)}
    for within in ("workers", "policy"):
        with pytest.raises(UserError) as refused:
            parse_settings({within: {"@": 1}})
        assert {key.partition(".")[2] for key in rows if key.startswith(f"{within}.")} == _known(refused)


@pytest.mark.parametrize(("key", "example"), values(_CAMPAIGN, _EXAMPLE))
def test_every_example_of_a_campaign_key_can_be_written(key: str, example: object, tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("input,width\na.jpg,100\n")
    (tmp_path / "SKY_TEMPLATE.yaml").write_text("resources: {cpus: 2}\n")
    if key in {"job", "each"}:
        least: dict[str, Any] = {"job": {"run": "true"}, "each": "0..1"}
    else:
        least = {"jobs": [{"id": "a", "run": "true"}]}
    file = tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump({**least, **_write(key, {key.rpartition(".")[2]: example})}))
    assert list(campaign_file_submission(file).jobs())


@pytest.mark.parametrize(
    ("key", "default"), [each for each in values(_CAMPAIGN, _DEFAULT) if each[0].partition(".")[0] in SETTING_KEYS]
)
def test_a_campaign_key_with_its_default_changes_nothing(key: str, default: object) -> None:
    plan = Plan(CampaignId("a"), "bucket")
    settings = parse_settings(_write(key, {key.rpartition(".")[2]: default}))
    assert settings.worker_policy() == plan.worker
    assert settings.launcher_policy() == plan.launcher
    assert settings.site in {None, plan.site}
    assert {value for value in settings.site_options.values() if value} == set()


def test_every_command_has_its_row() -> None:
    rows = table("Watching, mending, ending", "command")
    assert {literals(row)[0].split()[1] for row in rows} == set(COMMANDS)


def test_every_exit_code_has_its_row() -> None:
    assert {int(code) for code in table("Results", "code")} == {int(code) for code in Exit}


def test_every_column_of_the_results_has_its_row() -> None:
    rows = table("Results", "column")
    assert {name for row in rows for name in literals(row)} | {"labels", "result"} == set(COLUMNS)
    assert literals(rows["`state`"][0]) == [state.value for state in JobState]
    assert literals(rows["`outcome`"][0]) == [outcome.value for outcome in Outcome]
