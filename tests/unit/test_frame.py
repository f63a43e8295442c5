"""Facts about the whole repository that no linter states."""

import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def run_python(interpreter: str, *arguments: str) -> str:
    """Return what the interpreter prints, started without this environment's packages on its path."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    finished = subprocess.run(
        [interpreter, *arguments], cwd=REPOSITORY, env=clean, capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def bare_interpreters() -> list[str]:
    """Return the running interpreter and, where the machine has one that runs, Python 3.10."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [shutil.which("python3.10"), *sorted(map(str, pyenv.glob("versions/3.10.*/bin/python3.10")))]
    runs = (
        found for found in candidates if found and not subprocess.call([found, "-c", ""], stderr=subprocess.DEVNULL)
    )
    return [sys.executable, *list(runs)[:1]]


def tracked_files(*folders: str) -> list[str]:
    """Return the files that git knows or would add, relative to the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders]
    names = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(name for name in set(names) if (REPOSITORY / name).is_file())


def test_importing_the_package_loads_neither_prefect_nor_sky_nor_pydantic() -> None:
    program = "import sys, gliderport_prefect; print(*sys.modules)"

    loaded = run_python(sys.executable, "-c", program).split()

    assert "gliderport_prefect" in loaded
    assert not {"prefect", "sky", "pydantic", "obstore"} & set(loaded)


@pytest.mark.parametrize("interpreter", bare_interpreters(), ids=lambda path: Path(path).name)
def test_protocol_and_errors_import_on_a_bare_interpreter(interpreter: str) -> None:
    protocol = importlib.import_module("gliderport_prefect.protocol")
    modules = [found.name for found in pkgutil.walk_packages(protocol.__path__, "gliderport_prefect.protocol.")]
    assert modules
    names = ", ".join(["gliderport_prefect.errors", *modules])

    # -S: without the packages of the environment that the interpreter belongs to.
    run_python(interpreter, "-S", "-W", "error", "-c", f"import sys; sys.path[:0] = ['.']; import {names}")


def test_the_wheel_holds_every_file_of_both_packages(tmp_path: Path) -> None:
    run_python(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")

    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    assert packed == set(tracked_files("gliderport_prefect", "vm_worker"))
    assert {"gliderport_prefect/py.typed", "vm_worker/py.typed"} <= packed


# Spelled so that this file does not contain what it looks for.
PLACES = re.compile(
    r"pypi[.]org|pythonhosted[.]org|registry[.]npmjs|deb[.]debian|/work[/](?:main|shared)|/tmp[/]team|/root[/]|/opt[/](?:pypi|wheels)"
)


def test_no_file_names_a_package_registry_or_a_place_of_one_machine() -> None:
    named = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name in tracked_files()
        for number, line in enumerate((REPOSITORY / name).read_text("utf-8", errors="replace").splitlines(), start=1)
        if PLACES.search(line)
    ]

    assert named == []
