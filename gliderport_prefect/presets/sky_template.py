"""The sky template: an ordinary SkyPilot task that makes a worker's machine, without `run`."""

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
        return parse_sky_template(documents[0].value)
    except UserError as error:
        raise documents[0].error(error) from None


def parse_sky_template(written: object, *, key: str = "") -> tuple[dict[str, Any], CampaignSettings]:
    """Return the template, and the settings under its reserved key.

    Raises:
        UserError: It is no mapping, or has a `run`, or its settings are wrong.
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
    params = template.pop(PARAMS, None)
    if params is None:
        return template, CampaignSettings()
    if not isinstance(params, Mapping):
        raise UserError("expected a mapping of campaign settings", key=f"{path}{PARAMS}")
    return template, parse_settings(cast("Mapping[str, Any]", params), key=f"{path}{PARAMS}")
