"""What a worker puts into working folders and takes out of them; a real process, one folder as bucket."""

from __future__ import annotations

import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gliderport_prefect.protocol.codec import encode
from gliderport_prefect.protocol.ids import AttemptId, SessionId
from gliderport_prefect.protocol.jobspec import Input, JobSpec, Output
from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import Assignment, Commit, Manifest, StagedFile
from tests.integration.worker_rig import NAMELESS, Rig, wait_for_exit, worker_rig
from tests.waiting import wait_until

rig = worker_rig
SHOW = "find . -type f | sort | xargs tail -n +1"


def with_inputs(*inputs: Input) -> JobSpec:
    """Return a spec with these inputs."""
    return JobSpec(NAMELESS, inputs=inputs)


def with_outputs(*outputs: Output) -> JobSpec:
    """Return a spec with these outputs."""
    return JobSpec(NAMELESS, outputs=outputs)


def published(rig: Rig, assignment: Assignment) -> dict[str, str]:
    """Return what stands below the job's default destination."""
    folder = rig.bucket / rig.keys.outputs(assignment.spec.id)
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()}


def test_uploaded_files_and_folders_are_in_the_working_folder(rig: Rig) -> None:
    file = rig.put_blob(b"#!/bin/sh\necho ran\n")
    entries = [{"path": "deep/a.txt", "sha256": rig.put_blob(b"a"), "size_bytes": 1}]
    tree = rig.put_blob(json.dumps(entries).encode())
    spec = with_inputs(Input(f"blob:{file}", "tool.sh", executable=True), Input(f"tree:{tree}", "data"))

    report = rig.run_one("./tool.sh; cat data/deep/a.txt", spec)

    assert report.stdout.text == "ran\na"
    assert report.usage.bytes_in == 20


def test_a_shared_input_is_fetched_once_and_stays_as_it_was(rig: Rig) -> None:
    spec = with_inputs(Input(f"blob:{rig.put_blob(b'shared')}", "in"))
    jobs = [rig.make("cat in; echo changed > in", spec) for _ in range(4)]

    reports = rig.run(*jobs)

    assert {report.stdout.text for report in reports} == {"shared"}
    assert sum(report.usage.bytes_in for report in reports) == 6


def test_files_and_folders_of_the_machine_are_copied(rig: Rig) -> None:
    (rig.folder / "here" / "sub").mkdir(parents=True)
    (rig.folder / "here" / "sub" / "x").write_text("x")
    spec = with_inputs(Input(f"{rig.folder}/here/sub/x", "one"), Input(f"file://{rig.folder}/here/", "all"))

    report = rig.run_one("cat one all/sub/x; echo more >> one", spec)

    assert report.stdout.text == "xx"
    assert (rig.folder / "here" / "sub" / "x").read_text("utf-8") == "x"


def test_a_file_of_a_web_server_is_fetched(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(rig.folder)
    (rig.folder / "page.txt").write_text("from the web")
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        found = rig.make("cat page.txt", with_inputs(Input(f"{address}/page.txt?version=2")))
        missing = rig.make("cat gone", with_inputs(Input(f"{address}/gone")))
        reports = rig.run(found, missing)
        server.shutdown()

    assert reports[0].stdout.text == "from the web"
    assert reports[1].outcome is Outcome.INPUT_MISSING
    assert "404" in reports[1].reason


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (Input("blob:" + 64 * "0", "in"), "blob:0000"),
        (Input("/no/such/file"), "no such file or folder"),
        (Input("/etc/hostname", "../escaped"), "not inside of the working folder"),
        (Input("/etc/hostname", "/escaped"), "not inside of the working folder"),
        (Input("nothing://bucket/key", "in"), "no kind of store"),
    ],
    ids=["blob", "local", "parent", "absolute", "scheme"],
)
def test_an_input_that_cannot_be_had_is_named(rig: Rig, given: Input, reason: str) -> None:
    report = rig.run_one("echo never", with_inputs(given))

    assert (report.outcome, report.exit_code) == (Outcome.INPUT_MISSING, None)
    assert given.source in report.reason
    assert reason in report.reason


def test_everything_but_unchanged_inputs_is_published_by_default(rig: Rig) -> None:
    inputs = (Input(f"blob:{rig.put_blob(b'1')}", "kept"), Input(f"blob:{rig.put_blob(b'2')}", "changed"))
    spec = JobSpec(NAMELESS, inputs=inputs, outputs=(Output(),))
    job = rig.make("echo more >> changed; mkdir d; echo new > d/new", spec)

    (report,) = rig.run(job)

    assert published(rig, job) == {"changed": "2more\n", "d/new": "new\n"}
    assert [(each.files, each.size_bytes) for each in report.outputs] == [(2, 10)]
    assert report.usage.bytes_out == 10


def test_patterns_choose_what_goes_where(rig: Rig) -> None:
    outputs = (
        Output(f"{rig.folder}/texts", include=("*.txt", "logs"), exclude=("secret*",)),
        Output(f"file://{rig.folder}/numbers", include=("**/*.csv",)),
    )

    report = rig.run_one("mkdir -p logs a/b; touch x.txt secret.txt logs/l a/b/n.csv m.csv", with_outputs(*outputs))

    assert report.outcome is Outcome.SUCCEEDED, report.reason
    assert names_below(rig.folder / "texts") == ["logs/l", "x.txt"]
    assert names_below(rig.folder / "numbers") == ["a/b/n.csv", "m.csv"]


def test_a_pattern_that_matches_nothing_fails_the_job_by_name(rig: Rig) -> None:
    report = rig.run_one("touch other", with_outputs(Output(include=("result.*",))))

    assert (report.outcome, report.exit_code) == (Outcome.FAILED, 0)
    assert "'result.*'" in report.reason


def test_links_that_lead_out_of_the_folder_are_not_followed(rig: Rig) -> None:
    job = rig.make("ln -s /etc/hostname out; echo 1 > f; ln -s f in", with_outputs(Output()))

    rig.run(job)

    assert published(rig, job) == {"f": "1\n", "in": "1\n"}


def test_what_a_failed_attempt_is_to_leave_is_kept(rig: Rig) -> None:
    job = rig.make("echo core > core.1; touch other; exit 1", with_outputs(Output(keep_on_failure=("core.*",))))

    (report,) = rig.run(job)

    assert report.outcome is Outcome.FAILED
    assert names_below(rig.bucket / rig.keys.kept(job.spec.id, job.attempt)) == ["core.1"]
    assert published(rig, job) == {}


def test_a_destination_that_cannot_be_written_is_named(rig: Rig) -> None:
    (rig.folder / "file").touch()

    report = rig.run_one("touch x", with_outputs(Output(f"{rig.folder}/file/below")))

    assert (report.outcome, report.exit_code) == (Outcome.OUTPUT_FAILED, 0)
    assert f"{rig.folder}/file" in report.reason


def test_nothing_staged_is_left_behind(rig: Rig) -> None:
    rig.run_one("touch x", with_outputs(Output()))

    assert [each.key for each in rig.store.list(f"{rig.keys.root}/attempts")] == []


def test_another_worker_finishes_a_publication_that_a_killed_one_began(rig: Rig) -> None:
    # So many files that there is time for a kill between the commit and the end of their publication.
    destination, many = rig.folder / "destination", 1000
    job = rig.make(f"echo x >> {rig.folder}/runs; touch {{1..{many}}}", with_outputs(Output(str(destination))))
    first = rig.start_worker()
    rig.say(rig.meet(), assign=[job])
    wait_until(lambda: rig.store.get(rig.keys.commit(job.spec.id)), "the attempt is committed")
    first.kill()
    wait_for_exit(first)
    assert rig.store.get(rig.keys.published(job.spec.id)) is None

    rig.start_worker(name="other")
    again = Assignment(job.job, AttemptId("2.1"), job.spec)
    rig.say(rig.meet(count=2), assign=[again])

    report = rig.report_of(again)
    assert report.outcome is Outcome.SUCCEEDED
    assert [(each.destination, each.files) for each in report.outputs] == [(str(destination), many)]
    # The killed process may have left a file under a name that says that it is unfinished.
    assert len([name for name in names_below(destination) if "#" not in name]) == many
    assert (rig.folder / "runs").read_text("utf-8") == "x\n"


def test_only_the_committed_attempts_output_appears(rig: Rig) -> None:
    wait = f"touch {rig.folder}/up; until [ -e {rig.folder}/go ]; do sleep 0.05; done"
    job = rig.make(f"{wait}; echo mine > file", with_outputs(Output()))
    rig.start_worker()
    rig.say(rig.meet(), assign=[job])
    wait_until((rig.folder / "up").exists, "the job runs")
    commit_other_attempt(rig, job, content=b"theirs\n")
    (rig.folder / "go").touch()

    report = rig.report_of(job)

    assert report.outcome is Outcome.SUCCEEDED
    assert published(rig, job) == {"file": "theirs\n"}


def names_below(folder: Path) -> list[str]:
    """Return the files below the folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def commit_other_attempt(rig: Rig, job: Assignment, *, content: bytes) -> None:
    """Put into the bucket what a worker that was believed dead leaves there."""
    other, keys, store = AttemptId("9.1"), rig.keys, rig.store
    staged = f"{keys.staged(job.spec.id, other)}/00000001"
    destination = f"{store.url}/{keys.outputs(job.spec.id)}"
    manifest = Manifest("token", other, (StagedFile("file", destination, len(content), staged),))
    store.create(staged, content)
    store.create(keys.manifest(job.spec.id, other), encode(manifest))
    store.create(keys.commit(job.spec.id), encode(Commit("token", other, SessionId("w.old"))))
