"""Stands in for the worker's bundle: says that it is there, and does what its campaign's name asks for."""

import signal
import subprocess
import sys
import time

campaign = sys.argv[sys.argv.index("--campaign") + 1]
name = sys.argv[sys.argv.index("--name") + 1]
if campaign == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
print(f"{name} is ready", flush=True)
if campaign == "failing":
    print("no room on this machine", file=sys.stderr)
    sys.exit(7)
time.sleep(600)
