from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from gliderport_prefect.errors import UserError, UserErrors
from gliderport_prefect.lifecycle.checks import MOST_SHOWN, Circumstances, Summary, check_submission
from gliderport_prefect.lifecycle.order import Order
from gliderport_prefect.lifecycle.prepare import derive_name, prepare, prepare_with_summary
from gliderport_prefect.presets.command import command_submission
from gliderport_prefect.presets.sources import open_source
from gliderport_prefect.protocol.records import LauncherPolicy
from gliderport_prefect.protocol.resources import Offer, Resources

SMALL = Offer(cpus=2, memory_bytes=4 * 2**30, disk_bytes=2**40)


def check(source: Path, *, offer: Offer | None = SMALL, secrets: tuple[str, ...] = ()) -> Summary:
    """Look at the jobs of the source."""
    return check_submission(open_source(source), Circumstances(dict.fromkeys(secrets, "x"), offer))


def mistakes(source: Path, *, secrets: tuple[str, ...] = ()) -> list[str]:
    """Return what is wrong with the source."""
    with pytest.raises(UserError) as caught:
        check(source, secrets=secrets)
    error = caught.value
    return [str(problem) for problem in error.problems] if isinstance(error, UserErrors) else [str(error)]


def write(path: Path, text: str) -> Path:
    """Write the text and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_two_jobs_of_one_id_are_named_with_both_places(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "run: x\n")
    write(tmp_path / "b.yaml", "jobs:\n- {id: c, run: x}\n- run: y\n  id: a\n")
    (mistake,) = mistakes(tmp_path)
    assert mistake == (
        f"{tmp_path}/b.yaml:4: id: a job with the id 'a' is there already\n  the other one: {tmp_path}/a.yaml:1"
    )


def test_a_doubled_id_in_a_long_table_is_named_by_both_lines(tmp_path: Path) -> None:
    ids = [f"s{n}" for n in range(20_000)]
    ids[15_000] = "s77"
    file = write(tmp_path / "t.csv", "id\n" + "\n".join(ids))
    with pytest.raises(UserError) as caught:
        check_submission(command_submission("true", str(file)), Circumstances({}))
    assert caught.value.line == 15_002
    assert caught.value.hint == f"the other one: {file}:79"


@pytest.mark.parametrize(
    ("key", "text"),
    [("image", "image: busybox"), ("after", "after: b"), ("ports", "ports: 80")],
)
def test_what_this_version_cannot_act_on_is_refused(tmp_path: Path, key: str, text: str) -> None:
    write(tmp_path / "a.yaml", f"run: x\n{text}\n")
    (mistake,) = mistakes(tmp_path)
    assert mistake == f"{tmp_path}/a.yaml:2: {key}: `{key}` is not supported yet by this version\n  remove it"


def test_a_checkpoint_is_accepted(tmp_path: Path) -> None:
    write(tmp_path / "in/x", "x")
    write(
        tmp_path / "a.yaml", "run: x\ncheckpoint: {folder: state, interval: 1s}\ninputs: {source: in, target: state}\n"
    )
    assert check(tmp_path).jobs == 1


def test_an_interval_that_is_too_short_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "run: x\ncheckpoint:\n  folder: state\n  interval: 0.5\n")
    (mistake,) = mistakes(tmp_path)
    assert mistake == (
        f"{tmp_path}/a.yaml:4: checkpoint.interval: 0.5 s is too short an interval between two saves\n"
        "  the shortest is 1 s"
    )


@pytest.mark.parametrize(
    ("inputs", "folder"),
    [("{source: x, target: state}", "state"), ("{source: x, target: state}", "./state/sub"), ("s3://b/state", "state")],
)
def test_an_input_in_the_way_of_the_checkpoint_folder_is_refused(tmp_path: Path, inputs: str, folder: str) -> None:
    write(tmp_path / "x", "x")
    write(tmp_path / "a.yaml", f"run: x\ninputs: [{inputs}]\ncheckpoint: {{folder: {folder}}}\n")
    (mistake,) = mistakes(tmp_path)
    assert mistake.startswith(f"{tmp_path}/a.yaml:3: checkpoint.folder: ")
    assert "inputs[0]" in mistake


def test_a_missing_input_is_named_by_file_line_and_key(tmp_path: Path) -> None:
    write(tmp_path / "there.txt", "x")
    write(tmp_path / "a.yaml", "run: x\ninputs:\n- there.txt\n- source: gone.txt\n- s3://b/not-looked-at\n- '*.gz'\n")
    first, second = mistakes(tmp_path)
    assert first.startswith(f"{tmp_path}/a.yaml:4: inputs[1]: the input {tmp_path}/gone.txt does not exist")
    assert second.startswith(f"{tmp_path}/a.yaml:6: inputs[3]: the input {tmp_path}/*.gz matches no file")


def test_a_missing_input_of_an_original_job_is_named_by_its_line(tmp_path: Path) -> None:
    write(tmp_path / "a.config.yaml", "run: x\ninput:\n  local:\n  - a.config.yaml\n  - gone\n")
    (mistake,) = mistakes(tmp_path)
    assert mistake.startswith(f"{tmp_path}/a.config.yaml:5: input.local[1]: the input {tmp_path}/gone does not exist")


def test_a_missing_input_of_a_row_is_named_by_the_line_of_the_row(tmp_path: Path) -> None:
    write(tmp_path / "x.txt", "x")
    write(tmp_path / "t.csv", "f\nx.txt\ny.txt\n")
    write(
        tmp_path / "campaign.yaml",
        "each: t.csv\njob: {run: cat {f}, inputs: ['{f}']}\n".replace("cat {f}", "'cat {f}'"),
    )
    (mistake,) = mistakes(tmp_path)
    assert mistake.startswith(f"{tmp_path}/t.csv:3: inputs[0]: the input {tmp_path}/y.txt does not exist")


def test_two_inputs_with_one_target_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a/x.txt", "1")
    write(tmp_path / "b/x.txt", "2")
    write(tmp_path / "j.yaml", "run: x\ninputs: [a/x.txt, b/*.txt, {source: a/x.txt, target: y}]\n")
    (mistake,) = mistakes(tmp_path)
    assert "inputs[1]: the target 'x.txt' is the one of inputs[0] too" in mistake


@pytest.mark.parametrize("what", ["link to nothing", "circle", "no file in it", "a pipe"])
def test_inputs_that_cannot_be_uploaded_are_refused(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    match what:
        case "link to nothing":
            (folder / "l").symlink_to("nowhere")
        case "circle":
            (folder / "sub" / "up").symlink_to("..")
        case "a pipe":
            os.mkfifo(folder / "p")
        case _:
            pass
    write(tmp_path / "j.yaml", "run: x\ninputs: in\n")
    says = {
        "link to nothing": "in/l is a link that leads nowhere",
        "circle": "sub/up leads to a folder above it",
        "a pipe": "in/p is neither a file nor a folder",
        "no file in it": "holds no file",
    }
    (mistake,) = mistakes(tmp_path)
    assert says[what] in mistake


def test_secrets_must_be_in_the_environment(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "run: x\nsecrets:\n- TOKEN\n- OTHER\n")
    (mistake,) = mistakes(tmp_path, secrets=("TOKEN",))
    assert mistake.startswith(f"{tmp_path}/a.yaml:4: secrets[1]: the secret 'OTHER' is not in the environment")
    assert check(tmp_path, secrets=("TOKEN", "OTHER")).jobs == 1


def test_resources_that_no_worker_has_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "run: x\nresources: {cpus: 3}\n")
    write(tmp_path / "b.yaml", "run: x\nresources: {memory: 5GiB}\n")
    write(tmp_path / "c.yaml", "run: x\nresources: {gpus: 1, gpu_type: A100}\n")
    write(tmp_path / "d.yaml", "run: x\nresources: {cpus: 2, memory: 4GiB}\n")
    first, second, third = mistakes(tmp_path)
    assert "a.yaml:2: resources: no worker can run the job: it needs 3 cpus\n" in first
    assert "a worker has 2 cpus, 4 GiB memory" in first
    assert "it needs 1 cpu, 5 GiB memory" in second
    assert "1 A100 gpu" in third
    assert check(tmp_path, offer=None).jobs == 4


def test_the_first_twenty_mistakes_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "cpus\n" + "none\n" * 1_000)
    write(tmp_path / "campaign.yaml", "each: t.csv\njob: {run: x, resources: {cpus: '{cpus}'}}\n")
    with pytest.raises(UserErrors) as caught:
        check(tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) == MOST_SHOWN + 1
    assert lines[0].startswith(f"{tmp_path}/t.csv:2: resources.cpus: ")
    assert lines[-1] == "… and 980 more"


def test_several_mistakes_survive_pickling() -> None:
    errors = UserErrors([UserError("a", file="f", line=3), UserError("b", hint="c")], 5)
    again = pickle.loads(pickle.dumps(errors))  # noqa: S301
    assert str(again) == str(errors) == "f:3: a\nb\n  c\n… and 5 more"
    assert again.problems[0].line == 3


def test_a_summary_says_what_a_submission_holds(tmp_path: Path) -> None:
    write(tmp_path / "x.txt", "x")
    jobs = [f"- {{id: j{n}, run: x, inputs: x.txt, resources: {{cpus: {1 + n % 2}}}}}\n" for n in range(7)]
    write(tmp_path / "j.yaml", "".join(jobs))
    summary = check(tmp_path)
    assert (summary.jobs, summary.local_inputs) == (7, 7)
    assert summary.needs == {Resources(cpus=1): 4, Resources(cpus=2): 3}
    assert [job.id for job in summary.first] == ["j0", "j1", "j2", "j3", "j4"]


def test_a_table_without_rows_holds_no_job(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", "a,b\n")
    with pytest.raises(UserError, match="there is no job"):
        check_submission(command_submission("echo {a}", str(file)), Circumstances({}))


# --- plans ------------------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Path:
    text = "name: mine\nworkers: {max: 3, cpus: 1}\npolicy: {loss_limit: 9}\njobs: [{id: a, run: x}]\n"
    return write(tmp_path / "source/campaign.yaml", text).parent


def test_a_plan_says_how_the_campaign_is_to_run(tmp_path: Path, source: Path) -> None:
    plan = prepare(Order(bucket=str(tmp_path / "bucket"), source=str(source)))
    assert (plan.campaign, plan.site, plan.jobs) == ("mine", "local", 1)
    assert plan.site_options == {"cpus": 1}
    assert plan.launcher == LauncherPolicy(max_workers=3, loss_limit=9)
    assert plan.origin == str(source / "campaign.yaml")
    assert pickle.loads(pickle.dumps(plan)) == plan  # noqa: S301


def test_the_order_wins_over_the_file(tmp_path: Path, source: Path) -> None:
    order = Order(str(tmp_path / "b"), "other", str(source), workers=7, site_options={"cpus": 2}, job={"retries": 9})
    plan, summary = prepare_with_summary(order)
    assert (plan.campaign, plan.launcher.max_workers, plan.site_options) == ("other", 7, {"cpus": 2})
    assert summary.first[0].retries == 9


def test_preparing_uploads_nothing(tmp_path: Path, source: Path) -> None:
    prepare(Order(bucket=str(tmp_path / "bucket"), source=str(source)))
    assert not [path for path in (tmp_path / "bucket").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (Order("b"), "nothing to run"),
        (Order("b", command="x"), "needs a table"),
        (Order("b", command="x", each="0..1", source="y"), "not both"),
        (Order("b", source="y", each="0..1"), "goes with a command"),
        (Order("b", source="nowhere"), "no such folder"),
        (Order("", command="x", each="0..1"), "no bucket"),
        (Order("b", campaign="a/b", command="x", each="0..1"), "not allowed"),
        (Order("b", site="lcal", command="x", each="0..1"), "did you mean `local`"),
        (Order("b", site_options={"cpu": 1}, command="x", each="0..1"), "did you mean `cpus`"),
        (Order("b", job={"retires": 1}, command="x", each="0..1"), "did you mean `retries`"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: Order, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        prepare(order)
    assert says in str(caught.value)


def test_the_same_source_always_makes_the_same_campaign(tmp_path: Path) -> None:
    def name(command: str, each: str, **more: str) -> str:
        return derive_name(Order("b", command=command, each=each, **more))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    assert name("x {n}", "0..9") == name("x {n}", "0..9")
    assert len({name("x {n}", "0..9"), name("y {n}", "0..9"), name("x {n}", "0..8")}) == 3
    assert name("x", "0..9").startswith("0-9-")
    assert name("x", f"{tmp_path}/my photos.csv").startswith("my-photos-")
    folder = tmp_path / "sweep"
    folder.mkdir()
    assert derive_name(Order("b", source=str(folder))).startswith("sweep-")
    assert derive_name(Order("b", source=str(folder / "campaign.yaml"))).startswith("sweep-")
