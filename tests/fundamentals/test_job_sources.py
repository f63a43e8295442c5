"""Where jobs come from: a command with a table, a folder of job files, one campaign file."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.command import command_submission
from gliderport_prefect.presets.sources import open_source
from gliderport_prefect.protocol.jobspec import Input, Output
from gliderport_prefect.protocol.resources import Resources


def write(path: Path, text: str) -> Path:
    """Write the text without its common indentation, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))
    return path


def test_a_command_runs_once_for_each_row_of_a_table(tmp_path: Path) -> None:
    table = write(tmp_path / "photos.csv", "input,width\na.jpg,100\nmy photo.jpg,200\n")
    jobs = list(command_submission("convert {input} -resize {width} out.jpg", str(table)).jobs())
    assert [job.run for job in jobs] == [
        "convert a.jpg -resize 100 out.jpg",
        "convert 'my photo.jpg' -resize 200 out.jpg",
    ]
    assert [job.id for job in jobs] == ["job-0000000", "job-0000001"]


def test_a_command_runs_once_for_each_integer_of_a_range() -> None:
    jobs = list(command_submission("simulate --seed {n}", "1..10..4").jobs())
    assert [(job.id, job.run) for job in jobs] == [
        ("job-0000001", "simulate --seed 1"),
        ("job-0000005", "simulate --seed 5"),
        ("job-0000009", "simulate --seed 9"),
    ]


def test_the_column_id_names_the_jobs_unless_a_template_does(tmp_path: Path) -> None:
    table = write(tmp_path / "t.tsv", "id\tsample\nx\tliver\ny\tlung\n")
    assert [job.id for job in command_submission("true", str(table)).jobs()] == ["x", "y"]
    named = command_submission("true", str(table), id_template="{sample}-{n:03}")
    assert [job.id for job in named.jobs()] == ["liver-000", "lung-001"]


def test_a_folder_holds_one_job_in_each_file(tmp_path: Path) -> None:
    write(tmp_path / "b.yaml", "run: echo b\nresources: {cpus: 2, memory: 4GiB}\n")
    write(tmp_path / "a.yml", "run: [echo a, echo A]\n")
    write(tmp_path / "notes.txt", "no job")
    first, second = open_source(tmp_path).jobs()
    assert (first.id, first.run) == ("a", "echo a\necho A")
    assert (second.id, second.resources) == ("b", Resources(cpus=2, memory_bytes=4 * 2**30))


def test_a_file_may_hold_many_jobs_and_what_they_have_in_common(tmp_path: Path) -> None:
    text = """\
    defaults: {retries: 5, env: {MODE: fast, LEVEL: 1.10}}
    jobs:
    - {id: one, run: "true"}
    - {id: two, run: "false", env: {MODE: slow}}
    """
    write(tmp_path / "jobs.yaml", text)
    one, two = open_source(tmp_path).jobs()
    assert (one.retries, one.env) == (5, {"MODE": "fast", "LEVEL": "1.10"})
    assert (two.retries, two.env) == (5, {"MODE": "slow", "LEVEL": "1.10"})


def test_a_file_may_hold_several_documents_and_json_lines_one_job_a_line(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "id: one\nrun: 'true'\n---\nid: two\nrun: 'true'\n")
    write(tmp_path / "b.jsonl", '{"id": "three", "run": "true"}\n\n{"id": "four", "run": "true"}\n')
    assert [job.id for job in open_source(tmp_path).jobs()] == ["one", "two", "three", "four"]


def test_a_folder_of_the_original_gliderport_is_understood_as_it_is(tmp_path: Path) -> None:
    template = """\
    resources: {cloud: gcp, use_spot: yes}
    setup: pip install allcools
    gliderport_params: {workers: 16, policy: {idle: 10m}}
    """
    write(tmp_path / "SKY_TEMPLATE.yaml", template)
    job = """\
    input: {local: [data/*.gz, /abs/chrom.sizes]}
    output: {bucket: results, prefix: merged/}
    delete_input: yes
    run: |
      set -e
      cd $HOME/merge.1/
    """
    write(tmp_path / "merge.1.config.yaml", job)
    submission = open_source(tmp_path)
    (spec,) = submission.jobs()
    assert spec.id == "merge.1"
    assert spec.own_home
    assert spec.delete_input
    assert spec.inputs == (Input(f"{tmp_path}/data/*.gz"), Input("/abs/chrom.sizes"))
    assert spec.outputs == (Output("gs://results/merged"),)
    assert spec.run == "set -e\ncd $HOME/merge.1/\n"
    assert submission.sky_template == {
        "resources": {"cloud": "gcp", "use_spot": True},
        "setup": "pip install allcools",
    }
    assert submission.settings.launcher_policy().max_workers == 16
    assert submission.settings.worker_policy().idle_seconds == 600


def test_an_original_job_reads_everything_below_a_prefix_into_its_working_folder(tmp_path: Path) -> None:
    write(tmp_path / "x.config.yaml", "input: {bucket: raw, prefix: lane/1}\npython: print(1)\n")
    (spec,) = open_source(tmp_path).jobs()
    assert spec.inputs == (Input("gs://raw/lane/1/", target="."),)
    assert spec.python == "print(1)"


def test_one_file_describes_a_whole_campaign(tmp_path: Path) -> None:
    text = """\
    name: resize
    bucket: s3://runs/here
    workers: {max: 4, cpus: 2, memory: 4GiB}
    policy: {dead: 5m, heartbeat: 10s}
    defaults: {timeout: 1h}
    each: photos.csv
    job:
      id: "{name}"
      run: convert {name}.jpg -resize {width} small.jpg
      inputs: ["photos/{name}.jpg"]
      outputs: [{destination: "small/{name}", include: small.jpg}]
      resources: {cpus: "{cpus}"}
      labels: {width: "{width}"}
    """
    write(tmp_path / "campaign.yaml", text)
    write(tmp_path / "photos.csv", "name,width,cpus\na,100,2\nb,200,0.5\n")
    submission = open_source(tmp_path)
    a, b = submission.jobs()
    assert (a.id, a.run, a.timeout_seconds) == ("a", "convert a.jpg -resize 100 small.jpg", 3600)
    assert a.inputs == (Input(f"{tmp_path}/photos/a.jpg"),)
    assert a.outputs == (Output(f"{tmp_path}/small/a", include=("small.jpg",)),)
    assert (b.resources.cpus, b.labels) == (0.5, {"width": "200"})
    settings = submission.settings
    assert (settings.name, settings.bucket) == ("resize", "s3://runs/here")
    assert settings.site_options == {"cpus": 2, "memory_bytes": 4 * 2**30}
    assert settings.launcher_policy().max_workers == 4
    assert (settings.launcher_policy().dead_seconds, settings.worker_policy().heartbeat_seconds) == (300, 10)


@pytest.mark.parametrize("written", ["{heartbeat: 30s}", "{dead: 20s}", "{heartbeat: 10m, dead: 19m}"])
def test_a_worker_may_not_count_as_lost_before_it_has_to_speak(tmp_path: Path, written: str) -> None:
    write(tmp_path / "campaign.yaml", f"policy: {written}\njobs: [{{id: a, run: x}}]\n")
    with pytest.raises(UserError, match=r"policy\.dead.*\n.*at least 2 times `policy\.heartbeat`"):
        open_source(tmp_path).settings.launcher_policy()


def test_the_rows_of_a_campaign_file_may_be_a_range_or_be_written_inline(tmp_path: Path) -> None:
    for each in ("0..2", "{range: [0, 2]}", "[0, 1, 2]", "[{value: 0}, {value: 1}, {value: 2}]"):
        column = "n" if "value" not in each and each[0] != "[" else "value"
        file = write(tmp_path / "c.yaml", f"each: {each}\njob: {{run: 'echo {{{column}}}'}}\n")
        assert [job.run for job in open_source(file).jobs()] == ["echo 0", "echo 1", "echo 2"]


def test_the_jobs_of_a_campaign_file_may_be_listed(tmp_path: Path) -> None:
    file = write(tmp_path / "c.yaml", "defaults: {priority: 3}\njobs: [{id: a, run: 'echo {n}'}]\n")
    (job,) = open_source(file).jobs()
    assert (job.id, job.priority, job.run) == ("a", 3, "echo {n}")


def test_a_stream_of_jobs_can_be_walked_again(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "a\n1\n2\n")
    submission = command_submission("echo {a}", str(table))
    assert list(submission.jobs()) == list(submission.jobs())
