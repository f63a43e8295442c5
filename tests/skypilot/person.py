"""Somebody who runs campaigns on the rig, from the command line, with a real S3 server for a bucket."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.s3server import S3Root
from tests.skypilot.rig.stand import ManagedJob, Rig
from tests.waiting import wait_until

_COMMAND = (sys.executable, "-c", "from gliderport_prefect.cli import main; main()")
_RUN_SECONDS = 500


@dataclass
class Person:
    """A person with a folder of campaign files and a bucket."""

    rig: Rig
    folder: Path
    bucket: S3Root
    is_elsewhere: bool = False
    """Whether the person's machine has nothing of SkyPilot but the address of its API server."""
    started: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    @property
    def environment(self) -> dict[str, str]:
        """What the person's shell has."""
        of_skypilot = self.rig.environment
        if self.is_elsewhere:
            port = of_skypilot.pop("SKYPILOT_API_SERVER_LOCAL_PORT")
            of_skypilot |= {"HOME": str(self.folder), "SKYPILOT_API_SERVER_ENDPOINT": f"http://127.0.0.1:{port}"}
        return of_skypilot | {
            "GLIDERPORT_BUCKET": self.bucket.url,
            "AWS_ENDPOINT_URL": self.bucket.endpoint,
            "AWS_ACCESS_KEY_ID": self.bucket.options["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": self.bucket.options["secret_access_key"],
            "AWS_REGION": "us-east-1",
            "XDG_STATE_HOME": str(self.folder / "state"),
        }

    def write(self, name: str, *, run: str, each: str, machine: dict[str, Any], **more: object) -> Path:
        """Write a campaign file into a folder of its own and return it.

        Args:
            name: The campaign's id.
            run: Command of a job.
            each: The rows.
            machine: SkyPilot's `resources` of a worker, on the rig's cluster.
            more: Further keys of the campaign file; `setup` goes into the sky template.
        """
        template: dict[str, object] = {"resources": {"infra": "slurm/rig"} | machine}
        if "setup" in more:
            template["setup"] = more.pop("setup")
        campaign: dict[str, object] = {
            "name": name,
            "site": "skypilot",
            "sky_template": template,
            "job": {"id": "{n}", "run": run},
            "each": each,
        }
        path = self.folder / name / "campaign.yaml"
        path.parent.mkdir()
        path.write_text(yaml.safe_dump(campaign | more))
        return path

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run `gliderport` to its end."""
        command = [*_COMMAND, *map(str, arguments)]
        return subprocess.run(
            command,
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_RUN_SECONDS,
        )

    def start(self, *arguments: object, log: str) -> subprocess.Popen[bytes]:
        """Start `gliderport` and return at once; what it says goes to a file of that name."""
        with (self.folder / log).open("wb") as out:
            process = subprocess.Popen(
                [*_COMMAND, *map(str, arguments)],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.started.append(process)
        return process

    def finish(self, process: subprocess.Popen[bytes], *, log: str) -> tuple[int, str]:
        """Wait for the end of a started command and return its exit code and what it said."""
        code = process.wait(_RUN_SECONDS)
        return code, (self.folder / log).read_text()

    def counts(self, campaign: str) -> dict[str, int]:
        """Return how many jobs are in each state; empty before there is such a campaign."""
        return self._read("status", campaign).get("jobs", {})

    def wait_for_successes(self, campaign: str, count: int, *, timeout_seconds: float = 300) -> None:
        """Return when so many jobs have succeeded."""
        wait_until(
            lambda: self.counts(campaign).get("SUCCEEDED", 0) >= count,
            f"{count} jobs of {campaign} have succeeded",
            timeout_seconds=timeout_seconds,
            poll_seconds=1,
        )

    def list_jobs(self, campaign: str) -> list[dict[str, Any]]:
        """Return the campaign's jobs as `gliderport jobs` tells of them."""
        return self._read("jobs", campaign)["jobs"]

    def list_workers(self, campaign: str) -> list[dict[str, Any]]:
        """Return all workers that the campaign has had, as `gliderport workers` tells of them."""
        return self._read("workers", campaign, "--all").get("workers", [])

    def _read(self, command: str, *arguments: str) -> dict[str, Any]:
        """Return what the command says as JSON; nothing before there is such a campaign."""
        said = self.run(command, *arguments, "--json")
        return json.loads(said.stdout) if said.returncode == 0 else {}

    def managed_jobs(self, campaign: str) -> list[ManagedJob]:
        """Return what SkyPilot has on record of the campaign's workers."""
        return [job for job in self.rig.read_jobs() if campaign in job.name]

    def leave(self) -> None:
        """Kill what was started and still runs, and end the managed jobs that are left."""
        for process in self.started:
            process.kill()
            process.wait()
        names = [path.name for path in self.folder.iterdir() if (path / "campaign.yaml").exists()]
        left = [job for name in names for job in self.managed_jobs(name) if not job.has_ended]
        if left:
            self.rig.run_sky("jobs", "cancel", "--yes", *(str(job.number) for job in left))
            for job in left:
                self.rig.wait_for_end(job.number)
