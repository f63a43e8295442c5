"""The sky template: an ordinary SkyPilot task that makes a worker's machine, without `run`.

It is stored with the campaign and used by whoever drives it, from whatever folder. So paths in it become absolute,
beginning in the template's folder, and secrets have names only. Whether the rest makes sense is for SkyPilot to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.settings import CampaignSettings, parse_settings
from gliderport_prefect.presets.written import read_documents

PARAMS = "gliderport_params"
"""Reserved key of a template: settings of the campaign."""


def read_sky_template(file: Path) -> tuple[dict[str, Any], CampaignSettings]:
    """Return the template in the file, and the settings that it holds.

    Raises:
        UserError: It is no mapping, or has a `run`, or its settings are wrong.
    """
    documents = read_documents(file, as_sky=True)
    if len(documents) != 1:
        what = "the sky template is empty" if not documents else "the sky template has several documents"
        raise UserError(what, file=file, hint="it is one SkyPilot task; leave the file out where none is needed")
    try:
        return parse_sky_template(documents[0].value, folder=file.parent)
    except UserError as error:
        raise documents[0].error(error) from None


def parse_sky_template(written: object, *, folder: Path, key: str = "") -> tuple[dict[str, Any], CampaignSettings]:
    """Return the template, and the settings under its reserved key.

    Args:
        written: The template, as parsed from YAML.
        folder: Where relative paths in it begin.
        key: Key path of the template, for messages.

    Raises:
        UserError: It is no mapping, or has a `run` or the value of a secret, or its settings are wrong.
    """
    path = f"{key}." if key else ""
    if not isinstance(written, Mapping):
        raise UserError("the sky template is no mapping: keys and values", key=key or None)
    template = dict(cast("Mapping[str, Any]", written))
    if "run" in template:
        raise UserError(
            "a sky template has no `run`: Gliderport adds the command that starts the worker",
            key=f"{path}run",
            hint="move it to `setup`, or to the jobs",
        )
    _refuse_secret_values(template.get("secrets"), key=f"{path}secrets")
    _resolve_paths(template, folder)
    params = template.pop(PARAMS, None)
    if params is None:
        return template, CampaignSettings()
    if not isinstance(params, Mapping):
        raise UserError("expected a mapping of campaign settings", key=f"{path}{PARAMS}")
    return template, parse_settings(cast("Mapping[str, Any]", params), key=f"{path}{PARAMS}")


def _refuse_secret_values(written: object, *, key: str) -> None:
    """Refuse a secret that is written out: the template is stored in the bucket, where secrets have no place."""
    if not isinstance(written, Mapping):
        return
    for name, value in cast("Mapping[object, object]", written).items():
        if value is not None:
            raise UserError(
                "the value of a secret must not stand in a template: it would be stored with the campaign",
                key=f"{key}.{name}",
                hint=f"write `{name}:` without a value, and set it where you start the campaign: export {name}=…",
            )


def _resolve_paths(template: dict[str, Any], folder: Path) -> None:
    """Make the paths absolute that SkyPilot would begin in whatever folder the launcher runs in."""
    if isinstance(template.get("workdir"), str):
        template["workdir"] = _resolve(template["workdir"], folder)
    mounts = template.get("file_mounts")
    if isinstance(mounts, Mapping):
        found = cast("Mapping[str, object]", mounts)
        template["file_mounts"] = {target: _resolve_source(source, folder) for target, source in found.items()}


def _resolve_source(source: object, folder: Path) -> object:
    if isinstance(source, str):
        return _resolve(source, folder)
    if not isinstance(source, Mapping):
        return source
    storage = dict(cast("Mapping[str, object]", source))
    inner = storage.get("source")
    if isinstance(inner, str):
        storage["source"] = _resolve(inner, folder)
    elif isinstance(inner, list):
        storage["source"] = [_resolve_source(each, folder) for each in cast("list[object]", inner)]
    return storage


def _resolve(path: str, folder: Path) -> str:
    """Return a local path as an absolute one; URIs, and what begins with `~` or a variable, as they are."""
    return path if "://" in path or path.startswith(("~", "$")) else str((folder / path).absolute())
