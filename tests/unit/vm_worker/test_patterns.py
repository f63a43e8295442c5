"""What output patterns mean."""

import pytest

from vm_worker.patterns import matches


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("**", "a"),
        ("**", "a/b/c"),
        ("*.txt", "a.txt"),
        ("a/*.txt", "a/b.txt"),
        ("**/*.txt", "b.txt"),
        ("**/*.txt", "a/b/c.txt"),
        ("a/**/c", "a/c"),
        ("a/**/c", "a/x/y/c"),
        ("a/**", "a/x/y"),
        ("results", "results/deep/file"),
        ("./results/", "results/file"),
        ("part-?.csv", "part-7.csv"),
        ("part-[0-9].csv", "part-7.csv"),
        ("part-[!a].csv", "part-7.csv"),
        ("a+b(c).txt", "a+b(c).txt"),
        ("odd[", "odd["),
        ("*", "line\nbreak"),
    ],
)
def test_a_pattern_means_a_path(pattern: str, path: str) -> None:
    assert matches(pattern, path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*.txt", "a/b.txt"),
        ("*.txt", "atxt"),
        ("a/*", "b/x"),
        ("results", "results.txt"),
        ("part-?.csv", "part-/.csv"),
        ("part-[!7].csv", "part-7.csv"),
        ("[!a]", "/"),
        ("a/**", "a"),
    ],
)
def test_a_pattern_does_not_mean_another_path(pattern: str, path: str) -> None:
    assert not matches(pattern, path)
