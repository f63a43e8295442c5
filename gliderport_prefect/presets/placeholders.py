"""Texts with placeholders: `convert {input} {output}`.

`{column}` stands for the row's value, `{n}` for the row's number unless the table has a column of that name,
`{n:04}` for the value with zeros before it to a width of 4. In a command a value is quoted for the language it lands
in (a word of the shell, a string of Python), so that no value can change what the command does; `{column:raw}` puts
it in as it is.

Only a name in braces is a placeholder: `${HOME}`, `awk '{print $1}'` and `{1..9}` are left to the shell. `{{name}}`
stands for `{name}`.
"""

from __future__ import annotations

import difflib
import re
import shlex
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from gliderport_prefect.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NUMBER = "n"
"""Name of the placeholder for the row's number."""
HIDDEN = "\0"
"""First character of columns that no table has and nobody can write."""

_NAME = r"[A-Za-z_][\w .-]*"
_FORM = r"(?::(?P<form>raw|0\d+))?"
# What matters for quoting in bash, in the order in which it is to be recognised.
_SHELL = re.compile(r"\\.|<<(?!<)|(?<![^\s;|&()])#[^\n]*|'|\"|\0", re.DOTALL)
_BRACES = "write {{name}} for a {name} that is no placeholder"


class Language(Enum):
    """What a text is, which decides how values are quoted in it."""

    PLAIN = "plain"
    """Text that nothing interprets: values go in as they are."""
    SHELL = "shell"
    """A bash script: a value becomes one word."""
    PYTHON = "python"
    """A Python script: a value becomes a string literal."""


_QUOTE: dict[Language, Callable[[str], str]] = {
    Language.PLAIN: str,
    Language.SHELL: shlex.quote,
    Language.PYTHON: repr,
}


@dataclass(frozen=True)
class Text:
    """A compiled text: what stays, and which of the row's values go where."""

    pattern: str
    """The text for the % operator."""
    uses: tuple[tuple[int, Callable[[str], str]], ...]
    """Index of each value in the row, and how it is quoted."""

    def render(self, values: Sequence[str]) -> str:
        """Return the text for the row."""
        return self.pattern % tuple([quote(values[index]) for index, quote in self.uses])


def compile_text(text: str, columns: Sequence[str], *, language: Language = Language.PLAIN) -> Text:
    """Return the compiled text.

    Args:
        text: What a person wrote.
        columns: Names of the row's values, in order.
        language: What the text is.

    Raises:
        UserError: A placeholder names no column, or stands inside quotes of the shell.
    """
    pattern: list[str] = []
    uses: list[tuple[int, Callable[[str], str]]] = []
    bare = ""
    end = 0
    for found in _placeholders(columns).finditer(text):
        literal = text[end : found.start()]
        end = found.end()
        if found["escaped"] is not None:
            literal += found["escaped"]
        bare += literal
        pattern.append(literal.replace("%", "%%"))
        if found["name"] is None:
            continue
        name, quote = found["name"], _quoting(found["form"], language)
        uses.append((_index_of(name, columns), quote))
        _refuse_inside_quotes(bare, name, quoted=language is Language.SHELL and quote is not str)
        pattern.append("%s")
        bare += "x"
    pattern.append(text[end:].replace("%", "%%"))
    return Text("".join(pattern), tuple(uses))


def _placeholders(columns: Sequence[str]) -> re.Pattern[str]:
    """Return what finds a column or another name in braces, unless a dollar sign makes it the shell's."""
    name = "|".join([*(re.escape(column) for column in columns), _NAME])
    escaped, plain = rf"\{{(?P<escaped>\{{(?:{name})(?::\w+)?\}})\}}", rf"(?<!\{{)\{{\s*(?P<name>{name})\s*{_FORM}\}}"
    return re.compile(rf"(?<!\$)(?:{escaped}|{plain})")


def _quoting(form: str | None, language: Language) -> Callable[[str], str]:
    """Return what is done to a value."""
    if form == "raw":
        return str
    quote = _QUOTE[language]
    width = int(form or 0)
    return (lambda value: quote(value.zfill(width))) if width else quote


def _index_of(name: str, columns: Sequence[str]) -> int:
    if name in columns:
        return columns.index(name)
    written = [column for column in columns if not column.startswith(HIDDEN)]
    near = difflib.get_close_matches(name, written, n=1, cutoff=0.5)
    known = f"did you mean {{{near[0]}}}?" if near else "columns: " + ", ".join(written)
    raise UserError(f"there is no column for the placeholder {{{name}}}", hint=f"{known}; {_BRACES}")


def _refuse_inside_quotes(script: str, name: str, *, quoted: bool) -> None:
    """Refuse a placeholder inside quotes of the shell, where the value's own quotes would undo them.

    In a here-document quotes mean nothing; from its beginning on nothing is refused.
    """
    if quoted and _opened_quote(script):
        raise UserError(
            f"the placeholder {{{name}}} stands inside quotes, but values are quoted already",
            hint=f"take it out of the quotes, or write {{{name}:raw}} for the bare value",
        )


def _opened_quote(script: str) -> str:
    """Return the quote that is open at the end of the script; empty when none is."""
    opened = ""
    for found in _SHELL.finditer(script):
        sign = found[0]
        if sign == "<<" and not opened:
            return ""
        if sign == opened:
            opened = ""
        elif not opened and sign in {"'", '"'}:
            opened = sign
    return opened
