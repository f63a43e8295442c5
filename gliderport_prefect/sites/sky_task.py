"""From a sky template to the SkyPilot task of one worker; SkyPilot itself checks what comes out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from gliderport_prefect.errors import UserError
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.sites.seam import Market
from gliderport_prefect.sites.sky_names import PREEMPTIBLE, Owner
from gliderport_prefect.sites.sky_options import WorkerEnvironment
from gliderport_prefect.sites.sky_prices import Choice

RECOVERED_CODES = (70, 75, 79, 134, 137, 139)
"""Exit codes of a worker that another start may help: crashed, bucket lost, preempted, killed by a signal."""
_FORBIDDEN = {
    "run": "Gliderport adds the command that starts the worker: move it to `setup`, or to the jobs",
    "service": "a worker is no service: remove it",
    "pool": "a worker is a managed job of its own: remove it",
}


@dataclass(frozen=True)
class TaskBuilder:
    """Makes the tasks of one campaign's workers, which differ in name, variables and market only."""

    template: Mapping[str, Any]
    """The sky template."""
    owner: Owner
    """Whose workers they are."""
    start: Callable[[Choice | None], str]
    """Returns the command that starts a worker on the machine that SkyPilot would choose."""
    environment: Callable[[], WorkerEnvironment] = WorkerEnvironment
    """Returns what the worker gets of this machine's environment."""

    def build(
        self, worker: WorkerName, *, market: Market | None = None, choice: Choice | None = None
    ) -> dict[str, Any]:
        """Return the task of the worker, as SkyPilot's YAML has it.

        Args:
            worker: Its name.
            market: How its machine is paid for; as the template says when not given.
            choice: The machine that SkyPilot would choose, once it has been asked.

        Raises:
            UserError: The template is not one of a single machine, or the environment lacks what the worker needs.
        """
        check_template(self.template)
        environment = self.environment()
        task = copy.deepcopy(dict(self.template))
        task["name"] = self.owner.job_name(worker)
        task["run"] = self.start(choice)
        task["resources"] = _with_demands(task.get("resources"), labels=self.owner.labels(worker), market=market)
        own = {**environment.public, **self.owner.variables(worker)}
        if self.may_be_preempted(market):
            own[PREEMPTIBLE] = "1"
        task["envs"] = {**_mapping(task.get("envs")), **own}
        secrets = {**name_secrets(task.pop("secrets", None)), **environment.secret}
        return {**task, "secrets": secrets} if secrets else task

    def may_be_preempted(self, market: Market | None = None) -> bool:
        """Say whether a worker that is started so may run on a machine that can be taken back."""
        if market is not None:
            return market is Market.SPOT
        return any(each.get("use_spot") for each in list_candidates(self.template))


def check_template(template: Mapping[str, Any]) -> None:
    """Refuse what cannot be a worker's machine.

    Raises:
        UserError: It has a key that makes no sense for a worker, or several machines.
    """
    for key, hint in _FORBIDDEN.items():
        if key in template:
            raise UserError(f"a sky template has no `{key}`", key=f"sky_template.{key}", hint=hint)
    if not isinstance(template.get("resources"), Mapping | None):
        raise UserError("expected a mapping: keys and values", key="sky_template.resources")
    if template.get("num_nodes") not in {None, 1}:
        raise UserError(
            "a worker is one machine",
            key="sky_template.num_nodes",
            hint="remove it; `workers` says how many machines there may be",
        )


def name_secrets(written: object) -> dict[str, str | None]:
    """Return the template's secrets in the form of a mapping; those without a value are SkyPilot's own to find."""
    if isinstance(written, list):
        return {str(name): None for name in cast("list[object]", written)}
    return {str(name): value for name, value in _mapping(written).items()}


def list_candidates(template: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the machines that the template allows, each with what holds for all of them."""
    resources = _mapping(template.get("resources"))
    shared = {key: value for key, value in resources.items() if key not in {"any_of", "ordered"}}
    choices = resources.get("any_of") or resources.get("ordered")
    if not isinstance(choices, list):
        return [shared]
    return [{**shared, **_mapping(each)} for each in cast("list[object]", choices)]


def _with_demands(written: object, *, labels: Mapping[str, str], market: Market | None) -> dict[str, Any]:
    resources = dict(_mapping(written))
    resources["labels"] = {**_mapping(resources.get("labels")), **labels}
    resources["job_recovery"] = _with_recovery(resources.get("job_recovery"))
    if market is not None:
        resources["use_spot"] = market is Market.SPOT
    for key in ("any_of", "ordered"):
        if isinstance(resources.get(key), list):
            resources[key] = [_with_choice(each, market) for each in cast("list[object]", resources[key])]
    return resources


def _with_choice(written: object, market: Market | None) -> dict[str, Any]:
    """Return one of several machines; what it says itself goes before what holds for all."""
    choice = dict(_mapping(written))
    if "job_recovery" in choice:
        choice["job_recovery"] = _with_recovery(choice["job_recovery"])
    if market is not None:
        choice.pop("use_spot", None)
    return choice


def _with_recovery(written: object) -> dict[str, Any]:
    recovery: dict[str, Any] = {"strategy": written} if isinstance(written, str) else dict(_mapping(written))
    codes = recovery.get("recover_on_exit_codes")
    own = [codes] if isinstance(codes, int) else cast("list[int]", codes or [])
    recovery["recover_on_exit_codes"] = sorted({*own, *RECOVERED_CODES})
    return recovery


def _mapping(written: object) -> dict[str, Any]:
    """Return a copy of a mapping, and an empty one for what is none."""
    return dict(cast("Mapping[str, Any]", written)) if isinstance(written, Mapping) else {}
