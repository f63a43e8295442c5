"""Every kind of record, and ways to make some."""

from __future__ import annotations

import dataclasses
import types
from enum import EnumMeta
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from gliderport_prefect.protocol import records
from gliderport_prefect.protocol.jobspec import JobSpec, TreeEntry

KINDS: tuple[type[Any], ...] = (
    records.Campaign,
    records.LauncherClaim,
    records.SpecChunkHeader,
    JobSpec,
    TreeEntry,
    records.InboxRecord,
    records.Registration,
    records.OutboxRecord,
    records.Manifest,
    records.Commit,
    records.PublishedMark,
    records.SavedCheckpoint,
    records.LedgerRecord,
    records.Request,
    records.ProgressNote,
)
"""What stands in an object of the bucket, or in a line of one."""

JSON_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(JSON_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(exclude_categories=())),
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
    Any: JSON,
}


def records_of(kind: object) -> st.SearchStrategy[Any]:
    """Return a strategy for values of the type, whatever they mean."""
    kind = getattr(kind, "__supertype__", kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if origin in (Union, types.UnionType):
        return st.one_of(*[records_of(each) for each in arguments])
    if origin is tuple:
        return st.lists(records_of(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text(), records_of(arguments[1]), max_size=3)
    return st.sampled_from(list[Any](kind)) if isinstance(kind, EnumMeta) else _dataclass(kind)


def _dataclass(kind: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401
    hints = get_type_hints(kind)
    return st.builds(kind, **{each.name: records_of(hints[each.name]) for each in dataclasses.fields(kind)})
