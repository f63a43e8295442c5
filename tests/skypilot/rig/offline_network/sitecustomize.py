"""Lets SkyPilot's jobs controller work on a machine without a way to the internet.

Before it looks at a job, the controller asks two public addresses whether there is a network, and as
long as they are silent it looks at nothing. No setting changes them. The rig puts this folder on
PYTHONPATH of its API server, and so of the controllers that it starts: they ask an address on the
loopback instead. SkyPilot's files stay as they are.
"""

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from types import ModuleType

_ASKING = "sky.backends.backend_utils"


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the module that asks where it always was, and has it loaded by `_Loader`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _ASKING:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec and spec.origin:
            spec.loader = _Loader(fullname, spec.origin)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads the module and then names another address to ask."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        if not hasattr(module, "_TEST_IP_LIST"):
            raise ImportError(f"{_ASKING} no longer has the list of addresses that this file replaces")
        module.__dict__["_TEST_IP_LIST"] = [os.environ["GLIDERPORT_RIG_NETWORK"]]


sys.meta_path.insert(0, _Finder())
