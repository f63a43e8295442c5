from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.written import Document, read_documents


def documents(folder: Path, text: str | bytes, *, as_sky: bool = False) -> list[Document]:
    """Write the text into a file and read it."""
    file = folder / "f.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_documents(file, as_sky=as_sky)


def value(folder: Path, text: str, *, as_sky: bool = False) -> Any:  # noqa: ANN401 - whatever the text holds
    """Return what the only document of the text holds."""
    (document,) = documents(folder, text, as_sky=as_sky)
    return document.value


def test_scalars_mean_what_yaml_1_2_says(tmp_path: Path) -> None:
    text = "[no, on, 2024-01-01, 1:30, 010, 0o10, 0x1f, 1e3, .5, true, ~, 1_000, .inf]"
    expected = ["no", "on", "2024-01-01", "1:30", 10, 8, 31, 1000.0, 0.5, True, None, "1_000", float("inf")]
    assert value(tmp_path, text) == expected


def test_a_sky_template_is_read_as_skypilot_reads_it_but_dates_stay_text(tmp_path: Path) -> None:
    assert value(tmp_path, "[yes, 010, 2024-01-01]", as_sky=True) == [True, 8, "2024-01-01"]


def test_numbers_show_as_they_were_written_and_survive_pickling(tmp_path: Path) -> None:
    numbers = value(tmp_path, "[1.10, 007, 1e3, 0x1F]")
    assert [str(number) for number in numbers] == ["1.10", "007", "1e3", "0x1F"]
    assert [str(number) for number in pickle.loads(pickle.dumps(numbers))] == ["1.10", "007", "1e3", "0x1F"]  # noqa: S301


def test_documents_are_separate_and_empty_ones_are_none(tmp_path: Path) -> None:
    found = documents(tmp_path, "a: 1\n---\n# nothing\n---\nb: 2\n")
    assert [document.value for document in found] == [{"a": 1}, {"b": 2}]
    assert [document.line_of("b") for document in found] == [None, 5]


def test_every_part_of_a_document_has_its_line(tmp_path: Path) -> None:
    text = "# head\na: 1\ninputs:\n- x\n- source: y\n  target: z\nlabels:\n  a.b: 1\n  a: {c: 2}\n"
    (document,) = documents(tmp_path, text)
    lines = {
        "a": 2,
        "inputs[0]": 4,
        "inputs[1].target": 6,
        "labels.a.b": 8,
        "labels.a.c": 9,
        "": 2,
        "b": None,
        "inputs[2]": None,
        "a.b": None,
    }
    assert {path: document.line_of(path) for path in lines} == lines
    assert document.nearest_line("inputs[7].target") == 3


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: [1,\n", 2, "parsing a flow node"),
        ("a: 1\na: 2\n", 2, "the key 'a' is there twice"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", 4, "the key 'b' is there twice"),
        ("a: b: c\n", 1, "mapping values are not allowed"),
        ("run:\n\techo\n", 2, "echo"),
        ("a: 'never closed\n", 1, "never closed"),
        ("a: 1\nb: !!binary eA==\n", 2, "binary"),
        ("a: !!python/object:os.system x\n", 1, "python/object"),
        ("a: *nobody\n", 1, "undefined alias"),
        ("? [1]\n: 2\n", 1, "unhashable"),
        (b"a: 1\nb: \x00\n", 2, "character"),
        (b"\x7fELF\x02\x01\x01\x00", 1, "character"),
        (b"a: 1\n\xff\xfe\n", 2, "UTF-8"),
        (b"\xff\xfea\x00:\x00", 1, "UTF-8"),
        ("a: " + "[" * 200_000, 1, "too deeply"),
        ("\n" + "{a: " * 1_000 + "[" * 200_000, 2, "too deeply"),
    ],
)
def test_what_is_no_yaml_is_named_by_file_and_line(tmp_path: Path, text: str | bytes, line: int, says: str) -> None:
    with pytest.raises(UserError) as caught:
        documents(tmp_path, text)
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "f.yaml"), line)
    assert says in str(caught.value)


def test_a_file_that_is_not_there_or_is_a_folder_is_named(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "none.yaml", "no such file"), (tmp_path, "cannot be read")):
        with pytest.raises(UserError, match=says) as caught:
            read_documents(path)
        assert caught.value.file == str(path)


def test_merged_keys_may_be_overwritten(tmp_path: Path) -> None:
    assert value(tmp_path, "a: &x {b: 1, c: 1}\nd: {<<: *x, b: 2}\n")["d"] == {"b": 2, "c": 1}
