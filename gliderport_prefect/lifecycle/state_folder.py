"""Where this machine keeps what sites must remember of campaigns."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """Return the folder of this user that has one folder for each campaign."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "gliderport"
