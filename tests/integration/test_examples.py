"""Every example, as a person runs it: the real command, real workers, real input."""

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_EXAMPLES = Path(__file__).parents[2] / "examples"
_BIN = Path(sys.executable).parent

# Each example is run once for all tests of it.
together = pytest.mark.xdist_group("examples")


@dataclass(frozen=True)
class Example:
    """A copy of one example, after it was run."""

    folder: Path
    environ: Mapping[str, str]

    @property
    def outputs(self) -> Path:
        return self.folder / "results"

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of `results.jsonl` by the ids of the jobs."""
        lines = (self.outputs / "results.jsonl").read_text().splitlines()
        return {row["id"]: row for row in map(json.loads, lines)}

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """Ids and outcomes in `results.csv`."""
        with (self.outputs / "results.csv").open(newline="") as file:
            return [(row["id"], row["outcome"]) for row in csv.DictReader(file)]

    def gliderport(self, *arguments: str) -> str:
        command = [_BIN / "gliderport", *arguments]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def _run(name: str, temporary: pytest.TempPathFactory) -> Example:
    clone = temporary.mktemp(name)
    shutil.copytree(_EXAMPLES, clone / "examples", ignore=shutil.ignore_patterns("results", "__pycache__"))
    private = {"XDG_DATA_HOME": str(clone / "data"), "XDG_STATE_HOME": str(clone / "state")}
    example = Example(clone / "examples" / name, {**os.environ, **private, "PATH": f"{_BIN}:{os.environ['PATH']}"})
    example.gliderport("run", str(example.folder), "--results", str(example.outputs))
    return example


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return _run("quickstart", tmp_path_factory)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return _run("folder", tmp_path_factory)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return _run("original", tmp_path_factory)


@together
def test_quickstart_leaves_one_row_per_text_in_both_tables(quickstart: Example) -> None:
    texts = {path.stem for path in (_EXAMPLES / "quickstart" / "texts").iterdir()}
    assert set(quickstart.rows) == texts
    assert set(quickstart.outcomes) == {(text, "SUCCEEDED") for text in texts}


@together
def test_quickstart_counts_the_words_of_every_text_into_a_file_of_its_own(quickstart: Example) -> None:
    for path in (_EXAMPLES / "quickstart" / "texts").iterdir():
        counted = json.loads((quickstart.outputs / f"{path.stem}.json").read_text())
        # Dashes that stand alone are no words; a dash between words joins two for `split`.
        expected = len(path.read_text(encoding="utf-8").replace("--", " ").replace("—", " ").split())
        assert counted["words"] == expected, path.name


@together
def test_quickstart_tells_in_the_table_what_its_jobs_found(quickstart: Example) -> None:
    assert quickstart.rows["sonnet-18"]["result"]["longest_word"] == "complexion"
    assert quickstart.rows["sonnet-18"]["labels"] == {"author": "William Shakespeare", "year": "1609"}


# Nine times the second that scikit-learn needs to be imported, on a machine that may be busy.
@pytest.mark.timeout(300)
def test_sweep_trains_a_model_for_every_row_of_the_grid_and_ends_in_one_sorted_table(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    sweep = _run("sweep", tmp_path_factory)
    with (_EXAMPLES / "sweep" / "grid.csv").open(newline="") as file:
        asked = {(float(row["c"]), float(row["gamma"])) for row in csv.DictReader(file)}
    results = {job: row["result"] for job, row in sweep.rows.items()}
    assert {(result["c"], result["gamma"]) for result in results.values()} == asked
    assert len(sweep.outcomes) == len(asked) == 9
    ranked = sorted(results, key=lambda job: results[job]["accuracy"], reverse=True)
    assert 0.9 < results[ranked[0]]["accuracy"] < 1
    assert results[ranked[-1]]["accuracy"] < 0.5
    heading, *rows = sweep.gliderport("results", "--sort", "result.accuracy").splitlines()
    assert "ACCURACY" in heading.split()
    assert [row.split()[0] for row in rows] == ranked


@together
def test_folder_leaves_the_files_that_its_jobs_name(folder: Example) -> None:
    assert {path.name for path in folder.outputs.iterdir()} == {
        "overview.txt",
        "statistics.json",
        "setosa-largest-petals.csv",
        "versicolor-largest-petals.csv",
        "virginica-largest-petals.csv",
        "setosa.sha256",
        "results.jsonl",
        "results.csv",
    }
    assert len(folder.outcomes) == len(folder.rows) == 6


@together
def test_folder_computes_what_the_measurements_say(folder: Example) -> None:
    statistics = json.loads((folder.outputs / "statistics.json").read_text())
    assert statistics["setosa"]["petal_length"] == {"mean": 1.462, "deviation": 0.174}
    largest = (folder.outputs / "virginica-largest-petals.csv").read_text().splitlines()
    assert [line.split(",")[2] for line in largest] == ["6.9", "6.7", "6.7", "6.6", "6.4"]


@together
def test_folder_retries_the_job_that_fails_on_its_first_try(folder: Example) -> None:
    attempts = {job: row["attempts"] for job, row in folder.rows.items()}
    assert attempts == {**dict.fromkeys(folder.rows, 1), "unsteady": 2}
    content = (folder.folder / "measurements" / "setosa.csv").read_bytes()
    assert (folder.outputs / "setosa.sha256").read_text().split()[0] == hashlib.sha256(content).hexdigest()


@together
def test_original_layout_runs_with_the_jobs_own_folders_below_home(original: Example) -> None:
    sonnets = (_EXAMPLES / "quickstart" / "texts").glob("sonnet-*.txt")
    ands = sum(len(re.findall(r"\band\b", path.read_text().lower())) for path in sonnets)
    words = (original.outputs / "words" / "words.txt").read_text().splitlines()
    assert words[0].split() == [str(ands), "and"]
    rhymes = (original.outputs / "rhymes" / "sonnet-18.rhymes").read_text().split()
    assert rhymes[-2:] == ["see", "thee"]
    assert dict(original.outcomes) == dict.fromkeys(original.rows, "SUCCEEDED")
    assert set(original.rows) == {"words", "rhymes"}


@together
def test_original_layout_deletes_uploaded_inputs_where_it_is_told_to(original: Example) -> None:
    blobs = {path.name for path in Path(original.environ["XDG_DATA_HOME"]).rglob("blobs/*")}
    texts = original.folder.parent / "quickstart" / "texts"
    kept = [path.stem for path in texts.iterdir() if hashlib.sha256(path.read_bytes()).hexdigest() in blobs]
    # Only the job `words` has `delete_input`; what `rhymes` names as well stays.
    assert sorted(kept) == ["sonnet-116", "sonnet-18"]
