from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.job_template import compile_job
from gliderport_prefect.protocol.jobspec import Input, JobSpec, Output
from gliderport_prefect.protocol.notation import parse_job
from gliderport_prefect.protocol.resources import Resources

HERE = Path("/here")


def make(written: dict[str, Any], **row: str) -> JobSpec:
    """Return the job that the template makes of the row."""
    return compile_job({"id": "a", "run": "true", **written}, list(row), folder=HERE).make(list(row.values()))


def test_placeholders_are_replaced_in_every_text_of_a_job() -> None:
    spec = make(
        {
            "id": "{s}-{n:02}",
            "run": ["cat {s}.txt", "# {s:raw}"],
            "inputs": ["{s}.txt", {"source": "gs://b/{s}/", "target": "d/{s}"}],
            "outputs": {"destination": "out/{s}", "include": ["{s}.*"]},
            "env": {"S": "{s} {{s}}"},
            "labels": {"fixed": 1.5, "s": "{s}"},
            "timeout": "{n}m",
        },
        s="x",
        n="7",
    )
    assert (spec.id, spec.run, spec.timeout_seconds) == ("x-07", "cat x.txt\n# x", 420)
    assert spec.inputs == (Input("/here/x.txt"), Input("gs://b/x/", "d/x"))
    assert spec.outputs == (Output("/here/out/x", include=("x.*",)),)
    assert (spec.env, spec.labels) == ({"S": "x {s}"}, {"fixed": "1.5", "s": "x"})


def test_only_commands_quote_their_values() -> None:
    value = "it's $HOME"
    spec = make({"run": "echo {v}", "env": {"V": "{v}"}, "outputs": "{v}"}, v=value)
    assert spec.run == "echo 'it'\"'\"'s $HOME'"
    assert spec.env == {"V": value}
    assert spec.outputs == (Output(f"/here/{value}"),)
    assert (
        compile_job({"id": "a", "python": "print({v})"}, ["v"], folder=HERE).make([value]).python == f"print({value!r})"
    )


def test_values_become_numbers_where_a_job_wants_numbers() -> None:
    spec = make(
        {"resources": {"cpus": "{c}", "memory": "{m}GiB", "gpus": "{g}"}, "retries": "{r}", "retry_on": ["{r}", 7]},
        c="0.5",
        m="2",
        g="1",
        r="3",
    )
    assert spec.resources == Resources(cpus=0.5, memory_bytes=2 * 2**30, gpus=1)
    assert (spec.retries, spec.retry_on) == (3, (3, 7))


def test_what_no_row_changes_is_read_once_and_shared() -> None:
    template = compile_job(
        {"id": "{n}", "run": "x", "env": {"A": "{{n}}"}, "resources": {"cpus": 2}}, ["n"], folder=HERE
    )
    first, second = template.make(["1"]), template.make(["2"])
    assert first.resources is second.resources
    assert first.env == second.env == {"A": "{n}"}


@given(value=st.text(st.characters(codec="utf-8")))
def test_a_row_makes_the_job_that_somebody_would_have_written(value: str) -> None:
    def outcome(job: dict[str, Any], *, templated: bool) -> object:
        try:
            return compile_job(job, ["v"], folder=HERE).make([value]) if templated else parse_job(job)
        except UserError as error:
            return (error.message, error.key)

    for key in ("id", "run"):
        other = {"id": "a", "run": "true", "retries": 7}
        assert outcome({**other, key: "{v:raw}"}, templated=True) == outcome({**other, key: value}, templated=False)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ({"retires": "{v}"}, "retires"),
        ({"env": {"A B": "{v}"}}, "env.A B"),
        ({"labels": [1]}, "labels"),
        ({"run": "echo {w}"}, "run"),
        ({"run": ["x", "echo {w}"]}, "run[1]"),
        ({"inputs": [{"source": "{w}"}]}, "inputs[0].source"),
        ({"python": "x"}, "run"),
    ],
)
def test_a_template_that_no_row_can_mend_names_the_key(written: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError) as caught:
        make(written, v="1")
    assert caught.value.key == key
