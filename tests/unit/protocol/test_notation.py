"""What people may write in a job, and what each mistake is answered with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliderport_prefect.errors import UserError
from gliderport_prefect.protocol.jobspec import Checkpoint, Input, JobSpec, Output
from gliderport_prefect.protocol.notation import JOB_KEYS, parse_job
from gliderport_prefect.protocol.quantities import parse_seconds, parse_size
from gliderport_prefect.protocol.resources import Resources
from tests.unit.protocol.kinds import JSON

EVERYTHING: dict[str, object] = {
    "id": "align-1",
    "run": ["set -x", "bwa mem"],
    "image": "docker://bwa",
    "inputs": ["reads.fq", {"source": "s3://refs/hg38/", "target": "refs"}],
    "outputs": {"destination": "s3://out", "include": "*.bam", "exclude": ["tmp/*"], "keep_on_failure": "*.log"},
    "delete_input": True,
    "env": {"THREADS": 4, "FAST": True, "NAME": "x"},
    "secrets": "TOKEN",
    "resources": {"cpus": 0.5, "memory": "4GiB", "disk": "10GB", "gpus": 1, "gpu_type": "A100"},
    "timeout": "1h30m",
    "retries": 0,
    "retry_on": 137,
    "checkpoint": {"folder": "state", "interval": 60},
    "priority": -3,
    "after": ["prepare", 7],
    "ports": [8080],
    "labels": {"lane": 3},
    "grace": "5s",
}
PARSED = JobSpec(
    id="align-1",  # pyright: ignore[reportArgumentType]
    run="set -x\nbwa mem",
    image="docker://bwa",
    inputs=(Input("reads.fq"), Input("s3://refs/hg38/", target="refs")),
    outputs=(Output("s3://out", include=("*.bam",), exclude=("tmp/*",), keep_on_failure=("*.log",)),),
    delete_input=True,
    env={"THREADS": "4", "FAST": "true", "NAME": "x"},
    secrets=("TOKEN",),
    resources=Resources(cpus=0.5, memory_bytes=4 * 2**30, disk_bytes=10**10, gpus=1, gpu_type="A100"),
    timeout_seconds=5400.0,
    retries=0,
    retry_on=(137,),
    checkpoint=Checkpoint("state", interval_seconds=60.0),
    priority=-3,
    after=("prepare", "7"),
    ports=(8080,),
    labels={"lane": "3"},
    grace_seconds=5.0,
)


def test_every_key_is_understood() -> None:
    assert EVERYTHING.keys() | {"python"} == set(JOB_KEYS)
    assert parse_job(EVERYTHING) == PARSED


def test_a_python_script_stands_in_place_of_a_command() -> None:
    assert parse_job({"id": "a", "python": "print(1)"}).python == "print(1)"


def test_a_job_without_id_takes_the_given_one() -> None:
    assert parse_job({"run": "x"}, default_id="from-file").id == "from-file"
    assert parse_job({"id": "own", "run": "x"}, default_id="from-file").id == "own"


def test_what_is_left_empty_has_its_default() -> None:
    assert parse_job({"id": "a", "run": "x", "timeout": None, "env": None}) == parse_job({"id": "a", "run": "x"})


def test_a_shorthand_means_what_the_long_form_means() -> None:
    short = parse_job({"id": "a", "run": "x", "outputs": "s3://out", "checkpoint": "state", "inputs": "f"})
    long = {"outputs": [{"destination": "s3://out"}], "checkpoint": {"folder": "state"}, "inputs": [{"source": "f"}]}
    assert short == parse_job({"id": "a", "run": "x", **long})


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ({"inptus": 1}, "inptus", "unknown key 'inptus'\n  did you mean `inputs`?"),
        ({"resources": {"ram": 1}}, "resources.ram", "unknown key 'ram'"),
        ({"inputs": [{"source": "x", "to": "y"}]}, "inputs[0].to", "unknown key 'to'"),
        ({"inputs": [{"target": "y"}]}, "inputs[0]", "`source` is missing"),
        ({"checkpoint": {"interval": 5}}, "checkpoint", "`folder` is missing"),
        ({"id": None}, "id", "the job has no id"),
        ({"id": "a/b"}, "id", "not allowed"),
        ({"id": ["x"]}, "id", "expected text"),
        ({"run": None}, None, "the job has no command"),
        ({"run": " \n"}, "run", "the command is empty"),
        ({"run": 5}, "run", "expected text, got 5"),
        ({"run": ["ok", 5]}, "run[1]", "expected text, got 5"),
        ({"run": "a\0b"}, "run", "NUL"),
        ({"python": "x"}, "run", "both `run` and `python`"),
        ({"image": 3}, "image", "expected text"),
        ({"inputs": 5}, "inputs", "a mapping"),
        ({"inputs": "blob:abc"}, "inputs", "a path or URI"),
        ({"inputs": " "}, "inputs", "a path or URI"),
        ({"inputs": {"source": "x", "target": "../y"}}, "inputs.target", "inside the job's working folder"),
        ({"outputs": {"include": "/etc/*"}}, "outputs.include", "inside the job's working folder"),
        ({"outputs": {"exclude": ["a", "~/b"]}}, "outputs.exclude[1]", "inside the job's working folder"),
        ({"outputs": {"destination": 5}}, "outputs.destination", "expected text"),
        ({"delete_input": "yes"}, "delete_input", "expected true or false"),
        ({"env": ["A=1"]}, "env", "a mapping"),
        ({"env": {"A": [1]}}, "env.A", "expected text"),
        ({"env": {"1A": "x"}}, "env.1A", "cannot be the name"),
        ({"env": {"GLIDERPORT_JOB_ID": "x"}}, "env.GLIDERPORT_JOB_ID", "are ours"),
        ({"secrets": ["A-B"]}, "secrets[0]", "cannot be the name"),
        ({"resources": {"cpus": 0}}, "resources.cpus", "a number above 0"),
        ({"resources": {"cpus": float("nan")}}, "resources.cpus", "a number above 0"),
        ({"resources": {"cpus": float("inf")}}, "resources.cpus", "a number above 0"),
        ({"resources": {"cpus": True}}, "resources.cpus", "a number above 0"),
        ({"resources": {"memory": 4}}, "resources.memory", "is no size with a unit"),
        ({"resources": {"disk": "-4GB"}}, "resources.disk", "is no size with a unit"),
        ({"resources": {"gpus": 0.5}}, "resources.gpus", "a whole number from 0"),
        ({"resources": "4 cpus"}, "resources", "a mapping"),
        ({"timeout": "soon"}, "timeout", "is no time above 0"),
        ({"timeout": 0}, "timeout", "is no time above 0"),
        ({"retries": -1}, "retries", "a whole number from 0"),
        ({"retries": True}, "retries", "a whole number from 0"),
        ({"retry_on": [0]}, "retry_on[0]", "a whole number from 1 to 255"),
        ({"checkpoint": "/state"}, "checkpoint", "inside the job's working folder"),
        ({"priority": 10**7}, "priority", "to 1000000"),
        ({"after": ["a b"]}, "after[0]", "not allowed"),
        ({"ports": 65536}, "ports", "to 65535"),
        ({"labels": {"a": {}}}, "labels.a", "expected text"),
        ({"grace": -1}, "grace", "is no time above 0"),
    ],
)
def test_a_mistake_is_named_with_its_key(changes: dict[str, object], key: str | None, said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_job({"id": "a", "run": "x", **changes})
    assert caught.value.key == key
    assert said in str(caught.value)


@pytest.mark.parametrize("written", [None, "run: x", ["run"], 5])
def test_what_is_no_mapping_is_no_job(written: object) -> None:
    with pytest.raises(UserError, match="a job: keys and values"):
        parse_job(written)


@given(key=st.sampled_from(JOB_KEYS), value=JSON)
def test_whatever_is_written_is_a_job_or_a_users_mistake(key: str, value: object) -> None:
    try:
        parse_job({"id": "a", "run": "x", key: value})
    except UserError as error:
        said = str(error)
        if not said:
            raise


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [
        ("512MiB", 512 * 2**20),
        ("4G", 4 * 2**30),
        ("4GB", 4 * 10**9),
        ("4 gb", 4 * 10**9),
        ("1.5k", 1536),
        ("7B", 7),
        ("2TiB", 2**41),
        (0, 0),
    ],
    ids=repr,
)
def test_sizes(written: object, size_bytes: int) -> None:
    assert parse_size(written) == size_bytes


@pytest.mark.parametrize(
    "written", ["", "G", "4", 4, 4.0, None, True, False, "4XB", "4 G B", "1e3MB", "-1G", []], ids=repr
)
def test_what_is_no_size(written: object) -> None:
    with pytest.raises(ValueError, match="is no size with a unit"):
        parse_size(written)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90),
        (1.5, 1.5),
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("2d", 172800),
        ("500ms", 0.5),
        ("1w", 604800),
        ("1.5H", 5400),
    ],
    ids=repr,
)
def test_times(written: object, seconds: float) -> None:
    assert parse_seconds(written) == seconds


@pytest.mark.parametrize(
    "written", ["", 0, -1, "0s", "x", "1x", "m", None, True, [], "inf", "nan", float("inf"), "1h-1m"], ids=repr
)
def test_what_is_no_time(written: object) -> None:
    with pytest.raises(ValueError, match="is no time above 0"):
        parse_seconds(written)
