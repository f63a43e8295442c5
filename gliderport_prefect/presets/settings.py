"""What holds for a whole campaign, in the notation of people.

The same keys are understood at the top of a campaign file and, for the original layout, under `gliderport_params` of
a sky template. `SETTING_KEYS` and `POLICY_KEYS` are all there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

from gliderport_prefect.errors import UserError
from gliderport_prefect.protocol.ids import parse_campaign_id
from gliderport_prefect.protocol.machines import CapacityPolicy, MarketPolicy
from gliderport_prefect.protocol.notation import unknown_key
from gliderport_prefect.protocol.quantities import parse_dollars, parse_seconds, parse_size
from gliderport_prefect.protocol.records import LauncherPolicy, WorkerPolicy

_LEAST_BEATS = 2
"""A worker is lost after so many heartbeats at the earliest: one may be late."""

Field = tuple[str, Callable[[object, str], Any]]
"""Name of a field, and what reads its value with the help of its key path."""


@dataclass(frozen=True)
class CampaignSettings:
    """What holds for a whole campaign; what is not given is left to the command line and the defaults."""

    name: str | None = None
    """Id of the campaign; the same id is always the same campaign."""
    bucket: str | None = None
    """URL of the runtime bucket."""
    site: str | None = None
    """Where workers run."""
    site_options: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the site needs to know, such as the size of a worker."""
    worker: dict[str, Any] = field(default_factory=dict[str, Any])
    """Fields of the workers' policy that are not to have their defaults."""
    launcher: dict[str, Any] = field(default_factory=dict[str, Any])
    """Fields of the launcher's policy that are not to have their defaults."""
    credentials: str | None = None
    """The Prefect block that opens the bucket."""

    def over(self, other: CampaignSettings) -> CampaignSettings:
        """Return these settings, and the other ones where these say nothing."""
        changes: dict[str, Any] = {}
        for each in fields(self):
            mine, others = getattr(self, each.name), getattr(other, each.name)
            changes[each.name] = {**others, **mine} if isinstance(mine, dict) else mine if mine is not None else others
        return replace(self, **changes)

    def worker_policy(self) -> WorkerPolicy:
        """Return the timers of the workers."""
        return WorkerPolicy(**self.worker)

    def launcher_policy(self) -> LauncherPolicy:
        """Return the limits that the launcher keeps.

        Raises:
            UserError: Workers would count as lost before they have to speak.
        """
        policy, heartbeat = LauncherPolicy(**self.launcher), self.worker_policy().heartbeat_seconds
        if policy.dead_seconds < _LEAST_BEATS * heartbeat:
            raise UserError(
                f"workers that speak every {heartbeat:g} s would count as lost after {policy.dead_seconds:g} s",
                key="policy.dead",
                hint=f"at least {_LEAST_BEATS} times `policy.heartbeat`: {_LEAST_BEATS * heartbeat:g} s",
            )
        return policy


def parse_settings(written: Mapping[str, Any], *, key: str = "") -> CampaignSettings:
    """Return the settings that the mapping describes.

    Args:
        written: Keys and values, as parsed from YAML.
        key: Key path of the mapping, for messages.

    Raises:
        UserError: A key is unknown, or a value has the wrong form.
    """
    settings = CampaignSettings()
    for name, value in written.items():
        path = f"{key}.{name}" if key else str(name)
        if name not in SETTING_KEYS:
            raise unknown_key(name, SETTING_KEYS, key=path)
        if value is not None:
            settings = SETTING_KEYS[name](value, path).over(settings)
    return settings


# --- values -----------------------------------------------------------------------------------------------------


def _name(value: object, key: str) -> CampaignSettings:
    try:
        return CampaignSettings(name=parse_campaign_id(_text(value, key)))
    except UserError as error:
        raise UserError(error.message, key=key) from None


def _bucket(value: object, key: str) -> CampaignSettings:
    return CampaignSettings(bucket=_text(value, key))


def _credentials(value: object, key: str) -> CampaignSettings:
    text = _text(value, key)
    slug, slash, name = text.partition("/")
    if not (slug and slash and name) or "/" in name:
        raise UserError(
            f"expected the type and the name of a Prefect block, got {text!r:.80}",
            key=key,
            hint="for example aws-credentials/lab",
        )
    return CampaignSettings(credentials=text)


def _site(value: object, key: str) -> CampaignSettings:
    return CampaignSettings(site=_text(value, key))


def _site_options(value: object, key: str) -> CampaignSettings:
    return CampaignSettings(site_options=dict(_mapping(value, key)))


def _workers(value: object, key: str) -> CampaignSettings:
    """Read the most workers at a time, or a mapping with that as `max` and the size of each worker."""
    if not isinstance(value, Mapping):
        return CampaignSettings(launcher={"max_workers": _count(value, key)})
    read = _read_fields(value, key, known=_WORKERS_KEYS)  # pyright: ignore[reportUnknownArgumentType]
    most = {name: read.pop(name) for name in _LAUNCHER_FIELDS & read.keys()}
    return CampaignSettings(launcher=most, site_options=read)


def _budget(value: object, key: str) -> CampaignSettings:
    return CampaignSettings(launcher={"budget": _dollars(value, key)})


def _policy(value: object, key: str) -> CampaignSettings:
    read = _read_fields(value, key, known=POLICY_KEYS)
    worker = {name: read.pop(name) for name in _WORKER_FIELDS & read.keys()}
    return CampaignSettings(worker=worker, launcher=read)


def _read_fields(value: object, key: str, *, known: Mapping[str, Field]) -> dict[str, Any]:
    mapping = _mapping(value, key)
    read: dict[str, Any] = {}
    for name, given in mapping.items():
        if name not in known:
            raise unknown_key(name, known, key=f"{key}.{name}")
        field_name, reader = known[name]
        if given is not None:
            read[field_name] = reader(given, f"{key}.{name}")
    return read


def _text(value: object, key: str) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise UserError(f"expected text, got {value!r:.80}", key=key)


def _mapping(value: object, key: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    raise UserError(f"expected a mapping: keys and values, got {value!r:.80}", key=key)


def _count(value: object, key: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return int(value)
    raise UserError(f"expected a whole number from 1, got {value!r:.80}", key=key)


def _gpus(value: object, key: str) -> int:
    return 0 if value == 0 and not isinstance(value, bool) else _count(value, key)


def _cpus(value: object, key: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf"):
        return float(value)
    raise UserError(f"expected a number above 0, got {value!r:.80}", key=key)


def _dollars(value: object, key: str) -> float:
    try:
        return parse_dollars(value)
    except ValueError as error:
        raise UserError(str(error), key=key) from None


def _price(value: object, key: str) -> float:
    return 0.0 if value == 0 and not isinstance(value, bool) else _dollars(value, key)


def _market(value: object, key: str) -> MarketPolicy:
    return MarketPolicy[_word(value, key, known=[each.name for each in MarketPolicy])]


def _capacity(value: object, key: str) -> CapacityPolicy:
    return CapacityPolicy[_word(value, key, known=[each.name for each in CapacityPolicy])]


def _word(value: object, key: str, *, known: list[str]) -> str:
    """Return the name of the choice that somebody has written as `on-demand`."""
    for name in known:
        if value == name.lower().replace("_", "-"):
            return name
    written = ", ".join(name.lower().replace("_", "-") for name in known)
    raise UserError(f"expected one of {written}, got {value!r:.80}", key=key)


def _seconds(value: object, key: str) -> float:
    try:
        return parse_seconds(value)
    except ValueError as error:
        raise UserError(str(error), key=key) from None


def _size(value: object, key: str) -> int:
    try:
        return parse_size(value)
    except ValueError as error:
        raise UserError(str(error), key=key) from None


_WORKERS_KEYS: Mapping[str, Field] = {
    "max": ("max_workers", _count),
    "cpus": ("cpus", _cpus),
    "memory": ("memory_bytes", _size),
    "gpus": ("gpus", _gpus),
    "price": ("price", _price),
}
_WORKER_FIELDS = {each.name for each in fields(WorkerPolicy)}
_LAUNCHER_FIELDS = {each.name for each in fields(LauncherPolicy)}

POLICY_KEYS: Mapping[str, Field] = {
    "heartbeat": ("heartbeat_seconds", _seconds),
    "idle": ("idle_seconds", _seconds),
    "max_life": ("max_life_seconds", _seconds),
    "grace": ("grace_seconds", _seconds),
    "store_patience": ("store_patience_seconds", _seconds),
    "dead": ("dead_seconds", _seconds),
    "loss_limit": ("loss_limit", _count),
    "black_hole_limit": ("black_hole_limit", _count),
    "start_failure_limit": ("start_failure_limit", _count),
    "market": ("market", _market),
    "fallback_preemptions": ("fallback_preemptions", _count),
    "fallback_after": ("fallback_after_seconds", _seconds),
    "no_capacity": ("no_capacity", _capacity),
}
"""Every key under `policy`: a field of `WorkerPolicy` or `LauncherPolicy`, and how it is read."""

SETTING_KEYS: Mapping[str, Callable[[object, str], CampaignSettings]] = {
    "name": _name,
    "bucket": _bucket,
    "credentials": _credentials,
    "site": _site,
    "site_options": _site_options,
    "workers": _workers,
    "budget": _budget,
    "policy": _policy,
}
"""Every setting of a campaign, and how it is read."""
