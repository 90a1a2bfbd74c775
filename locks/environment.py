"""Make the environment in the folder given, of the Python that runs this: `python3 locks/environment.py .venv`.

One that has pip and is of the same Python is left as it is, any other made anew. Before that, and without a folder only
that, a Python is refused that the locked wheels are not for.
"""
# ruff: noqa: UP031, for the Python that is refused must be able to read this

import os
import platform
import re
import subprocess
import sys
import sysconfig

with open("pyproject.toml", "rb") as project:
    low, high = map(int, re.search(b'requires-python = ">=3.([0-9]+),<3.([0-9]+)"', project.read()).groups())
version = "%d.%d" % sys.version_info[:2]
build = "%s %s" % (sysconfig.get_config_var("SOABI") or platform.python_implementation(), platform.machine())
wheels = re.match("cpython-3[0-9]+-((x86_64|aarch64)-linux-gnu |darwin arm64)", build)
if not (wheels and (3, low) <= sys.version_info[:2] < (3, high)):
    sys.exit(
        "error: %s is Python %s (%s); expected 3.%d to 3.%d, not free-threaded, on Linux with glibc (x86-64, aarch64) "
        "or macOS (arm64); name one: make PYTHON=python3.%d" % (sys.executable, version, build, low, high - 1, low)
    )
try:
    import ensurepip  # noqa: F401
except ImportError:
    sys.exit(
        "error: %s has no ensurepip, which an environment is made with; install it, on Debian and Ubuntu "
        "by: apt install python%s-venv" % (sys.executable, version)
    )

for folder in sys.argv[1:]:
    try:
        own = [os.path.join(folder, "bin/python"), "-Im", "pip", "--version"]
        pip = subprocess.check_output(own, stderr=subprocess.STDOUT)
    except (OSError, subprocess.CalledProcessError):
        pip = b""
    if pip.strip().endswith(("(python %s)" % version).encode()):
        continue
    known = os.path.exists(os.path.join(folder, "pyvenv.cfg"))
    if os.path.exists(folder) and not known and (not os.path.isdir(folder) or os.listdir(folder)):
        sys.exit("error: %s is there and is no environment; remove it, or name another: make VENV=FOLDER" % folder)
    base = getattr(sys, "_base_executable", sys.executable)  # for this may run in the folder that is cleared
    if subprocess.call([base, "-m", "venv", "--clear", folder]):
        sys.exit("error: %s -m venv made no environment in %s; the reason stands above" % (base, folder))
