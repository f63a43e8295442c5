"""YAML files as people write them, and the line of every value in them.

Read by the rules of YAML 1.2, so that `no` is text, `010` is ten and a date is text; numbers remember how they were
written, so that a version `1.10` in a label stays `1.10`. A key that is there twice is an error.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.tables import not_utf8

if TYPE_CHECKING:
    from yaml import SafeLoader as _Base
else:
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with it

_INDEX = re.compile(r"\[(\d+)\]")
_TOO_DEEP = re.compile(r"(?:[\[{]\s*){1000}")
_SHOWN = 100


class WrittenInt(int):
    """A whole number that shows as it was written."""

    text: str

    def __str__(self) -> str:
        return self.text


class WrittenFloat(float):
    """A number that shows as it was written."""

    text: str

    def __str__(self) -> str:
        return self.text


class Document:
    """One document of a YAML file; several in one file are separated by `---`."""

    def __init__(self, file: Path, text: str, *, index: int, value: Any) -> None:  # noqa: ANN401 - whatever YAML holds
        """Keep what was read."""
        self.file = file
        self.value = value
        self._text = text
        self._index = index

    def line_of(self, path: str) -> int | None:
        """Return the line of the value with that key path, such as `jobs[2].inputs[0].target`; None if it is not there.

        Counted from 1; of an entry of a mapping the line of its key.
        """
        node, line, rest = self._root, self._root.start_mark.line + 1, path
        while rest:
            step = _step(node, rest)
            if step is None:
                return None
            node, line, rest = step
        return line

    def nearest_line(self, path: str) -> int:
        """Return the line of the value with that key path, or of the nearest around it that is there."""
        node, line, rest = self._root, self._root.start_mark.line + 1, path
        while rest and (step := _step(node, rest)) is not None:
            node, line, rest = step
        return line

    def error(self, error: UserError) -> UserError:
        """Return the error with file and line of the key that it names."""
        if error.file is not None:
            return error
        line = self.nearest_line(error.key or "")
        return UserError(error.message, file=self.file, line=line, key=error.key, hint=error.hint)

    @cached_property
    def _root(self) -> yaml.Node:
        """The nodes, made again from the text: only a mistake needs them, and they take a hundred times its memory."""
        loader = _Loader(self._text)
        nodes: list[yaml.Node] = []
        while loader.check_node() and len(nodes) <= self._index:
            nodes.append(cast("yaml.Node", loader.get_node()))
        return nodes[self._index]


def read_documents(file: Path, *, as_sky: bool = False) -> list[Document]:
    """Return the documents of the file.

    Args:
        file: The file.
        as_sky: Whether values mean what they mean to SkyPilot, which reads YAML 1.1: there `no` is false.

    Raises:
        UserError: It is no YAML.
    """
    text = _read_text(file)
    loader = (_SkyLoader if as_sky else _Loader)(text)
    documents: list[Document] = []
    try:
        while loader.check_node():
            node = cast("yaml.Node", loader.get_node())
            value = loader.construct_document(node)  # pyright: ignore[reportUnknownMemberType]
            documents.append(Document(file, text, index=len(documents), value=value))
    except yaml.MarkedYAMLError as error:
        raise _marked(error, file, text=text) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError("a character that no YAML file may contain", file=file, line=line) from None
    return [document for document in documents if document.value is not None]


def _read_text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise UserError("there is no such file", file=file) from None
    except OSError as error:
        raise UserError(f"the file cannot be read: {error.strerror}", file=file) from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise not_utf8(file) from None
    _refuse_depth(file, text)
    return text


def _refuse_depth(file: Path, text: str) -> None:
    """Refuse brackets nested so deeply that the C parser, which recurses, would crash."""
    found = _TOO_DEEP.search(text)
    if found is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise UserError("brackets are nested too deeply", file=file, line=line)


def _marked(error: yaml.MarkedYAMLError, file: Path, *, text: str) -> UserError:
    mark, last = error.problem_mark, text.rstrip().count("\n")
    if mark is None or (error.context_mark is not None and mark.line > last):
        # Something is open at the end of the file: where it began helps more.
        mark = error.context_mark
    what = " ".join(part for part in (error.context, error.problem) if part) or "this is no YAML"
    if mark is None:
        return UserError(what, file=file)
    number = min(mark.line, last)
    shown = text.split("\n")[number].strip()[:_SHOWN]
    return UserError(what, file=file, line=number + 1, hint=shown or None)


def _step(node: yaml.Node, path: str) -> tuple[yaml.Node, int, str] | None:
    """Return the child that the path leads to, its line, and the rest of the path."""
    if isinstance(node, yaml.SequenceNode):
        match = _INDEX.match(path)
        children = cast("list[yaml.Node]", node.value)
        if match is None or int(match[1]) >= len(children):
            return None
        child = children[int(match[1])]
        return child, child.start_mark.line + 1, path[match.end() :].removeprefix(".")
    if isinstance(node, yaml.MappingNode):
        for key, child in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            name = str(key.value)
            rest = path.removeprefix(name)
            if path.startswith(name) and rest[:1] in {"", ".", "["}:
                return child, key.start_mark.line + 1, rest.removeprefix(".")
    return None


# --- the loader -------------------------------------------------------------------------------------------------


class _StrictLoader(_Base):
    """Knows the plain types only, and refuses keys that are there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's
        seen: set[tuple[str, str]] = set()
        for key, _ in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            name = (key.tag, str(key.value))
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {name[1]!r} is there twice", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


class _SkyLoader(_StrictLoader):
    """YAML 1.1, as SkyPilot reads it, but dates stay text."""


class _Loader(_StrictLoader):
    """The core schema of YAML 1.2, and `<<`."""


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> WrittenInt:
    text = str(loader.construct_scalar(node))
    prefix = text[:2]
    number = WrittenInt(text[2:], 16 if prefix == "0x" else 8) if prefix in {"0x", "0o"} else WrittenInt(text)
    number.text = text
    return number


def _construct_float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> WrittenFloat:
    text = str(loader.construct_scalar(node))
    number = WrittenFloat(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    number.text = text
    return number


def _plain(kind: str) -> str:
    return f"tag:yaml.org,2002:{kind}"


_KINDS = ("null", "bool", "int", "float", "str", "seq", "map")
_SkyLoader.yaml_constructors = {
    tag: construct
    for tag, construct in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag in {_plain(kind) for kind in _KINDS}
}
_SkyLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _plain("timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    **_SkyLoader.yaml_constructors,
    _plain("int"): _construct_int,
    _plain("float"): _construct_float,
}
_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
        _plain(_kind), re.compile(rf"^(?:{_pattern})$"), _first
    )
