"""Mistakes in folders, campaign files, templates and tables: each is named by file, line and key."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.campaign_file import CampaignFile
from gliderport_prefect.presets.command import command_submission
from gliderport_prefect.presets.settings import POLICY_KEYS, SETTING_KEYS, CampaignSettings
from gliderport_prefect.presets.sources import open_source
from gliderport_prefect.protocol.records import LauncherPolicy, WorkerPolicy


def mistakes(source: Path) -> list[UserError]:
    """Return what is wrong with the source, found when it is opened or walked."""
    try:
        return [found for found in open_source(source).scan() if isinstance(found, UserError)]
    except UserError as error:
        return [error]


def mistake_in(folder: Path, text: str | bytes, *, name: str = "campaign.yaml") -> UserError:
    """Return the only mistake in the file."""
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    (error,) = mistakes(folder)
    assert error.file == str(folder / name)
    return error


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        ("run: x\nretires: 3\n", 2, "retires", "did you mean `retries`"),
        ("run: x\nresources:\n  cpus: 1\n  memroy: 4GiB\n", 4, "resources.memroy", "did you mean `memory`"),
        ("run: x\ninputs:\n- a\n- source: b\n  tagret: c\n", 5, "inputs[1].tagret", "did you mean `target`"),
        ("run: x\n\nresources: {memory: 4}\n", 3, "resources.memory", "no size with a unit"),
        ("run: x\ntimeout: soon\n", 2, "timeout", "no time"),
        ("run: x\ndelete_input: yes\n", 2, "delete_input", "true or false"),
        ("run: x\nid: a/b\n", 2, "id", "not allowed"),
        ("run: x\npython: y\n", 1, "run", "both"),
        ("env: {A: b}\n", 1, None, "no command"),
        ("run: [x, [y]]\n", 1, "run[1]", "expected text"),
        ("run: '  '\n", 1, "run", "empty"),
        ("run: x\nenv:\n  GLIDERPORT_X: 1\n", 3, "env.GLIDERPORT_X", "cannot be the name"),
        ("run: x\noutputs: [{include: ../x}]\n", 2, "outputs[0].include", "inside the job's working folder"),
        ("just text\n", 1, None, "expected a job"),
        ("17\n", 1, None, "expected a job"),
        ("", None, None, "holds no job"),
        ("# only a comment\n---\n", None, None, "holds no job"),
        ("jobs: []\n", 1, "jobs", "a list of jobs"),
        ("jobs: {a: b}\n", 1, "jobs", "a list of jobs"),
        ("- id: a\n  run: x\n- id: b\n", 3, None, "no command"),
        ("jobs:\n- run: x\n", 2, "id", "no id"),
        ("jobs:\n- id: a\n  run: x\n- id: b\n  rnu: x\n", 5, "rnu", "did you mean `run`"),
        ("job: []\njobs:\n- {id: a, run: x}\n", 1, "job", "did you mean `jobs`"),
        ("defaults:\n  retries: -1\njobs:\n- {id: a, run: x}\n", 2, "retries", "whole number from 0"),
        ("defaults: 5\njobs:\n- {id: a, run: x}\n", 1, "defaults", "expected a mapping"),
        ("defaults: {id: x}\njobs:\n- {id: a, run: x}\n", 1, "defaults.id", "belongs to one job"),
    ],
)
def test_a_mistake_in_a_job_file(tmp_path: Path, text: str, line: int | None, key: str | None, says: str) -> None:
    error = mistake_in(tmp_path, text, name="j.yaml")
    assert (error.line, error.key) == (line, key)
    assert says in str(error)


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        ("nmae: x\njobs: [{id: a, run: x}]\n", 1, "nmae", "did you mean `name`"),
        ("name: a b\njobs: [{id: a, run: x}]\n", 1, "name", "not allowed"),
        ("workers: 0\njobs: [{id: a, run: x}]\n", 1, "workers", "whole number from 1"),
        ("workers: {max: 2, cpu: 1}\njobs: [{id: a, run: x}]\n", 1, "workers.cpu", "did you mean `cpus`"),
        ("workers:\n  memory: 4\njobs: [{id: a, run: x}]\n", 2, "workers.memory", "unit"),
        ("policy:\n  idel: 5m\njobs: [{id: a, run: x}]\n", 2, "policy.idel", "did you mean `idle`"),
        ("policy: {idle: never}\njobs: [{id: a, run: x}]\n", 1, "policy.idle", "no time"),
        ("policy: {market: spotty}\njobs: [{id: a, run: x}]\n", 1, "policy.market", "spot, on-demand, fallback"),
        ("policy: {no_capacity: 1}\njobs: [{id: a, run: x}]\n", 1, "policy.no_capacity", "wait, on-demand, fail"),
        ("policy: 3\njobs: [{id: a, run: x}]\n", 1, "policy", "mapping"),
        ("site: [a]\njobs: [{id: a, run: x}]\n", 1, "site", "expected text"),
        ("sky_template:\n  setup: x\n  run: y\njobs: [{id: a, run: x}]\n", 3, "sky_template.run", "Gliderport adds"),
        ("sky_template: 5\njobs: [{id: a, run: x}]\n", 1, "sky_template", "no mapping"),
        (
            "sky_template:\n  gliderport_params:\n    wrokers: 5\njobs: [{id: a, run: x}]\n",
            3,
            "sky_template.gliderport_params.wrokers",
            "did you mean `workers`",
        ),
        ("name: x\n", 1, None, "no jobs"),
        ("job: {run: x}\njobs: [{id: a, run: x}]\n", 2, "jobs", "both"),
        ("job: {run: x}\n", 1, "job", "`each` is missing"),
        ("each: 0..1\njobs: [{id: a, run: x}]\n", 1, "each", "goes with `job`"),
        ("each: 0..1\njob: x\n", 2, "job", "expected a mapping"),
        ("each: 0..1..-1\njob: {run: x}\n", 1, "each", "does not lead"),
        ("each: {range: [0]}\njob: {run: x}\n", 1, "each.range", "[first, last]"),
        ("each: {from: 0}\njob: {run: x}\n", 1, "each.from", "unknown key"),
        ("each: 5\njob: {run: x}\n", 1, "each", "the path of a table"),
        ("each: []\njob: {run: x}\n", 1, "each", "list of rows is empty"),
        ("each: 0..1\njob:\n  run: echo {m}\n", 3, "run", "columns: n;"),
        ("each: 0..1\njob:\n  run: x\n  env: {A: '{q}'}\n", 4, "env.A", "no column"),
        ("each: 0..1\njob:\n  run: x\n  retries: many\n", 4, "retries", "whole number"),
        ("each: 0..1\ndefaults:\n  retires: 1\njob:\n  run: x\n", 3, "retires", "did you mean `retries`"),
        ("- a\n", 1, None, "is a mapping"),
        ("a: 1\n---\nb: 2\n", None, None, "one YAML document"),
        (b"\x00\x01\x02", 1, None, "character"),
    ],
)
def test_a_mistake_in_a_campaign_file(
    tmp_path: Path, text: str | bytes, line: int | None, key: str | None, says: str
) -> None:
    error = mistake_in(tmp_path, text)
    assert (error.line, error.key) == (line, key)
    assert says in str(error)


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        ("run: x\nretries: 1\n", 2, "retries", "unknown key"),
        ("run: x\ninput: {locl: a}\n", 2, "input.locl", "did you mean `local`"),
        ("run: x\ninput:\n  local: [a, 5]\n", 3, "input.local[1]", "expected text"),
        ("run: x\ninput: {local: [a], bucket: b}\n", 2, "input", "exclude each other"),
        ("run: x\noutput:\n  prefix: a\n", 2, "output.bucket", "expected text"),
        ("run: x\noutput: here\n", 2, "output", "expected a mapping"),
        ("input: {local: [a]}\n", 1, None, "no command"),
        ("run: x\n---\nrun: y\n", None, None, "does not hold one job"),
        ("", None, None, "does not hold one job"),
    ],
)
def test_a_mistake_in_an_original_job_file(
    tmp_path: Path, text: str, line: int | None, key: str | None, says: str
) -> None:
    error = mistake_in(tmp_path, text, name="j.config.yaml")
    assert (error.line, error.key) == (line, key)
    assert says in str(error)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("setup: x\nrun: y\n", 2, "Gliderport adds the command"),
        ("gliderport_params:\n  polcy: {}\n", 2, "did you mean `policy`"),
        ("gliderport_params: 5\n", 1, "campaign settings"),
        ("[1]\n", 1, "no mapping"),
        ("", None, "empty"),
        ("a: 1\n---\nb: 1\n", None, "several documents"),
    ],
)
def test_a_mistake_in_a_sky_template(tmp_path: Path, text: str, line: int | None, says: str) -> None:
    (tmp_path / "j.yaml").write_text("run: x\n")
    error = mistake_in(tmp_path, text, name="SKY_TEMPLATE.yaml")
    assert error.line == line
    assert says in str(error)


def test_a_mistake_in_one_of_many_json_lines_is_named_by_its_line(tmp_path: Path) -> None:
    lines = [json.dumps({"id": f"j{n}", "run": "x"}) for n in range(2_000)]
    lines[1_499] = json.dumps({"id": "j", "run": "x", "retires": 1})
    error = mistake_in(tmp_path, "\n".join(lines), name="j.jsonl")
    assert (error.line, error.key) == (1_500, "retires")


def test_one_bad_job_does_not_hide_the_next(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("rnu: x\n")
    (tmp_path / "b.yaml").write_text("a: [\n")
    (tmp_path / "c.jsonl").write_text("{}\nnonsense\n")
    (tmp_path / "d.config.yaml").write_text("{}\n")
    assert [(Path(error.file or "").name, error.line) for error in mistakes(tmp_path)] == [
        ("a.yaml", 1),
        ("b.yaml", 1),
        ("c.jsonl", 1),
        ("c.jsonl", 2),
        ("d.config.yaml", 1),
    ]


def test_a_folder_without_jobs_and_a_missing_source_are_named(tmp_path: Path) -> None:
    (tmp_path / "SKY_TEMPLATE.yaml").write_text("setup: x\n")
    for source, says in ((tmp_path, "no job files"), (tmp_path / "none", "no such folder")):
        (error,) = mistakes(source)
        assert says in str(error)
        assert error.file == str(source)


def test_two_sky_templates_are_one_too_many(tmp_path: Path) -> None:
    for name in ("SKY_TEMPLATE.yaml", "sky_template.yml", "job.yaml"):
        (tmp_path / name).write_text("run: x\n")
    (error,) = mistakes(tmp_path)
    assert "second sky template" in str(error)


def test_a_value_that_makes_no_job_is_named_by_the_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,cpus\na,2\nb,none\nc d,1\n")
    (tmp_path / "campaign.yaml").write_text("each: t.csv\njob: {run: x, resources: {cpus: '{cpus}'}}\n")
    first, second = mistakes(tmp_path)
    assert (first.file, first.line, first.key) == (str(tmp_path / "t.csv"), 3, "resources.cpus")
    assert (second.line, second.key) == (4, "id")


def test_a_nul_in_a_value_of_a_command_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a\nx\0y\n")
    (error,) = command_submission("echo {a}", str(tmp_path / "t.csv")).scan()
    assert isinstance(error, UserError)
    assert (error.line, error.key) == (2, "run")
    assert "NUL" in error.message


def test_a_command_template_is_wrong_before_any_row_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name\n")
    with pytest.raises(UserError, match=r"placeholder \{nmae\}") as caught:
        command_submission("echo {nmae}", str(tmp_path / "t.csv"))
    assert "did you mean {name}" in str(caught.value)


def test_every_key_of_a_campaign_file_is_documented_in_one_place() -> None:
    keys = {each.name for each in fields(CampaignFile)}
    assert keys == {*SETTING_KEYS, "sky_template", "defaults", "jobs", "job", "each"}


def test_every_field_of_the_policies_can_be_set() -> None:
    policies = {each.name for policy in (WorkerPolicy, LauncherPolicy) for each in fields(policy)}
    assert {field for field, _ in POLICY_KEYS.values()} | {"max_workers", "budget"} == policies


def test_the_nearer_settings_win_and_mappings_are_joined() -> None:
    near = CampaignSettings(site="a", site_options={"cpus": 1}, worker={"idle_seconds": 1.0})
    far = CampaignSettings(name="n", site="b", site_options={"cpus": 2, "gpus": 1})
    joined = CampaignSettings("n", None, "a", {"cpus": 1, "gpus": 1}, {"idle_seconds": 1.0})
    assert near.over(far) == joined
