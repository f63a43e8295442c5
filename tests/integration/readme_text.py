"""The README in parts: sections, fenced blocks and tables."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")

_BLOCK = re.compile(r"(?:<!-- (?P<note>[^>]+) -->\n)?```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
_LITERAL = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block, and the comment before it, which says what is special about it."""

    kind: str
    body: str
    note: str

    @property
    def is_run(self) -> bool:
        """Whether a test runs it."""
        return self.kind == "sh" and not self.note.startswith(("not run", "prefect"))


def sections() -> dict[str, str]:
    """Return the text of each section by its title."""
    _, *parts = re.split(r"^## (.+)$", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def blocks(title: str) -> list[Block]:
    """Return the fenced blocks of a section."""
    found = _BLOCK.finditer(sections()[title])
    return [Block(each["kind"], each["body"], (each["note"] or "").strip()) for each in found]


def table(title: str, heading: str) -> dict[str, list[str]]:
    """Return the rows of the section's table whose first column has that heading, by their first cells."""
    rows: dict[str, list[str]] = {}
    for line in sections()[title].partition(f"| {heading} |")[2].splitlines()[2:]:
        if not line.startswith("|"):
            break
        first, *rest = (cell.strip() for cell in line.strip("|").split("|"))
        rows[first] = rest
    assert rows, f"no table of {heading} under {title}"
    return rows


def literals(text: str) -> list[str]:
    """Return what stands between backticks."""
    return _LITERAL.findall(text)


def values(title: str, column: int) -> list[tuple[str, Any]]:
    """Return the keys of a reference table and what a column says of them as YAML, without those it says in prose."""
    return [
        (key.strip("`"), yaml.safe_load(cells[column].strip("`")))
        for key, cells in table(title, "key").items()
        if _LITERAL.fullmatch(cells[column])
    ]
