"""The environment variables that a job sees."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from gliderport_prefect.protocol.ids import CampaignId, WorkerName, attempt_number
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.records import Assignment
from gliderport_prefect.protocol.resources import Resources
from vm_worker import result_file
from vm_worker.scratch import AttemptFolder
from vm_worker.tree import MARKER

JOB_PATH = "GLIDERPORT_JOB_PATH"
"""PATH for the jobs, when the worker runs in an environment of its own that is not theirs."""
_OF_THE_WORKER = (JOB_PATH, "VIRTUAL_ENV", "UV_RUN_RECURSION_DEPTH")


@dataclass(frozen=True)
class JobEnvironment:
    """What all jobs of this worker see."""

    base: Mapping[str, str]
    """The worker's own variables, without those that concern only itself."""

    @classmethod
    def derive(cls, own: Mapping[str, str], *, campaign: CampaignId, worker: WorkerName) -> JobEnvironment:
        """Return it for a worker with these variables."""
        base = dict(own)
        if JOB_PATH in base:
            base["PATH"] = base[JOB_PATH]
            for name in _OF_THE_WORKER:
                base.pop(name, None)
        base["GLIDERPORT_CAMPAIGN"] = campaign
        base["GLIDERPORT_WORKER"] = worker
        return cls(base)

    @property
    def path(self) -> str:
        """Where programs are looked for."""
        return self.base.get("PATH", os.defpath)

    def missing_secrets(self, spec: JobSpec) -> list[str]:
        """Return the names of the job's secrets that have no value here."""
        return [name for name in spec.secrets if name not in self.base]

    def of_attempt(
        self, assignment: Assignment, folder: AttemptFolder, *, need: Resources, gpus: tuple[int, ...]
    ) -> dict[str, str]:
        """Return the variables of one attempt."""
        spec = assignment.spec
        indices = ",".join(map(str, gpus))
        variables = {
            **self.base,
            "OMP_NUM_THREADS": str(max(1, int(need.cpus))),
            **spec.env,
            "GLIDERPORT_JOB_ID": spec.id,
            "GLIDERPORT_ATTEMPT": str(attempt_number(assignment.attempt)),
            "GLIDERPORT_CPUS": f"{need.cpus:g}",
            "GLIDERPORT_MEMORY_BYTES": str(need.memory_bytes),
            "GLIDERPORT_GPUS": indices,
            "CUDA_VISIBLE_DEVICES": indices,
            "TMPDIR": folder.tmp,
            result_file.VARIABLE: result_file.path_of(folder.tmp),
            MARKER: folder.tmp,
        }
        if spec.own_home:
            variables["HOME"] = folder.home
        return variables
