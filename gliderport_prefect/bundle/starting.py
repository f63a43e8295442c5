"""The command that makes a worker of a machine that has nothing of ours: a shell, uv, and a way to the bucket."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from gliderport_prefect.bundle.building import requirements

_END = "GLIDERPORT_BOOTSTRAP"

# What `setup` put on PATH is the jobs'; uv's environment is the worker's alone. Every step replaces the one before
# (exec), so that a signal meant for the worker reaches it.
_SCRIPT = """\
set -u
export GLIDERPORT_JOB_PATH="$PATH"
uv=$(command -v uv || true)
for each in "$HOME/.local/bin/uv" "${{SKY_RUNTIME_DIR:-$HOME}}/.local/bin/uv" "$HOME/.cargo/bin/uv"; do
    if [ -z "$uv" ] && [ -x "$each" ]; then uv=$each; fi
done
if [ -z "$uv" ]; then
    echo "gliderport: there is no uv on this machine; SkyPilot puts it at ~/.local/bin/uv, or install it in setup" >&2
    exit 78
fi
folder="$HOME/.gliderport/${{SKYPILOT_MANAGED_JOB_ID:-0}}-$GLIDERPORT_WORKER"
mkdir -p "$folder" || exit 78
cat > "$folder/bootstrap.py" <<'{end}'
{bootstrap}{end}
exec "$uv" run --quiet --no-project --isolated --python '>=3.10' {requirements} \\
    -- python "$folder/bootstrap.py" --folder "$folder" {arguments}
"""


@dataclass(frozen=True)
class WorkerShare:
    """What a worker may use of a machine that it shares with others; what is not known is measured there."""

    cpus: float | None = None
    """CPU cores."""
    memory_bytes: int | None = None
    """Memory."""
    gpu_type: str | None = None
    """Name of its GPUs as the site calls it."""
    scratch: str | None = None
    """Folder for the jobs on the machine; a local disk is looked for when not given."""


def start_script(bundle_key: str, share: WorkerShare | None = None) -> str:
    """Return the bash script that starts a worker; who it is stands in variables (`GLIDERPORT_WORKER` and others).

    Args:
        bundle_key: Where the bundle is in the runtime bucket; its hash is the last folder of the key.
        share: What the worker may use of a machine that it shares.
    """
    arguments = ["--key", bundle_key, "--sha256", bundle_key.split("/")[-2], *_say_share(share or WorkerShare())]
    wanted = [word for each in requirements() for word in ("--with", each)]
    return _SCRIPT.format(
        end=_END,
        bootstrap=Path(__file__).with_name("bootstrap.py").read_text(encoding="utf-8"),
        requirements=shlex.join(wanted),
        arguments=shlex.join(arguments),
    )


def _say_share(share: WorkerShare) -> list[str]:
    sizes = {
        "--cpus": None if share.cpus is None else f"{share.cpus:g}",
        "--memory": share.memory_bytes,
        "--gpu-type": share.gpu_type,
        "--scratch": share.scratch,
    }
    return [f"{name}={size}" for name, size in sizes.items() if size is not None]
