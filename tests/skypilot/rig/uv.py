"""What SkyPilot's node set-up downloads, answered from this machine.

SkyPilot installs uv with a script from its makers' site and then a Python 3.10 from another. The nodes get the uv of
our `.venv` instead, told to use a Python that is there and the package indexes that pip uses here. SkyPilot's own
dependencies come from these indexes, into a cache that all clusters share.
"""

from __future__ import annotations

import ast
import filecmp
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.skypilot.rig.folder import RigFolder, RigUnavailable

_PASSED_ON = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
_PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}
_FITS = "import sys; sys.exit(not sys.version_info >= (3, 10))"

_UV = """\
#!/bin/sh
# uv with this machine's package indexes and Python.
{exports}
for argument; do
    shift
    [ "$previous $argument" = '--python 3.10' ] && argument={python}
    set -- "$@" "$argument"
    previous=$argument
done
exec {program} "$@"
"""
_CURL = """\
#!/bin/sh
# curl, but for the script that installs uv.
case "$*" in */uv/install.sh*)
    echo 'mkdir -p "$UV_INSTALL_DIR" && cp {shim}/uv "$UV_INSTALL_DIR/uv"'
    exit ;;
esac
exec {shim}/real-curl "$@"
"""


def make_shims(folder: RigFolder) -> None:
    """Write the programs that the nodes find instead of curl and uv."""
    program = folder.shim / "uv-program"
    if not program.exists() or not filecmp.cmp(_find_uv(), program):
        shutil.copy2(_find_uv(), program.with_suffix(".new"))  # the old one may be running
        program.with_suffix(".new").rename(program)
    settings = {**read_index_settings(), "UV_CACHE_DIR": str(folder.root / "uv-cache"), "UV_PYTHON_DOWNLOADS": "never"}
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in settings.items())
    python = shlex.quote(_find_python(folder.user))
    _write_program(folder.shim / "uv", _UV.format(exports=exports, python=python, program=program))
    _write_program(folder.shim / "curl", _CURL.format(shim=folder.shim))


def read_index_settings() -> dict[str, str]:
    """Say in uv's words where pip finds packages here, with what the environment says already."""
    said = {name: value for name, value in os.environ.items() if name.upper().startswith(_PASSED_ON)}
    # As pip: the best version of all indexes, not the first index that knows the name.
    derived = {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_SYSTEM_CERTS": "true"}
    derived |= {uv: value for key, value in _read_pip_settings() if (uv := _PIP_TO_UV.get(key))}
    return {**derived, **said}


def _read_pip_settings() -> Iterator[tuple[str, str]]:
    """Yield pip's settings; those of the environment come last."""
    command = (sys.executable, "-m", "pip", "config", "list")
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for line in sorted(lines, key=lambda line: line.startswith(":env:")):
        key, _, value = line.partition("=")
        yield key.rpartition(".")[2], " ".join(str(ast.literal_eval(value)).split())


def _find_uv() -> str:
    """Find the uv that stands beside this Python."""
    if found := shutil.which("uv", path=str(Path(sys.executable).parent)):
        return found
    raise RigUnavailable(f"there is no uv beside {sys.executable}: make setup")


def _find_python(user: str) -> str:
    """Find a Python that the user may run: 3.10, as SkyPilot wants it, or one that is as good."""
    names = ("python3.10", "python3.11", "python3.12", "python3.13", "python3")
    on_path = (shutil.which(name, path="/usr/local/bin:/usr/bin") for name in names)
    for candidate in (*filter(None, on_path), sys.executable):
        real = str(Path(candidate).resolve())
        if _fits(real, user):
            return real
    raise RigUnavailable("the nodes' user can run no Python 3.10 or newer (Debian: apt-get install python3)")


def _fits(python: str, user: str) -> bool:
    try:
        tried = subprocess.run(
            [python, "-c", _FITS], user=user, group=user, extra_groups=[], cwd="/", capture_output=True, check=False
        )
    except OSError:
        return False
    return tried.returncode == 0


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
