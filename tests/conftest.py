"""Before the whole suite runs in several processes, kernels are compiled once: each of them would compile the same ones."""

import os
import subprocess
import sys


def pytest_configure(config):
    is_whole = not config.invocation_params.args or config.args == config.getini("testpaths")
    is_parent = not hasattr(config, "workerinput") and getattr(config.option, "numprocesses", None)
    if is_whole and is_parent and os.environ.get("NUMBA_DISABLE_JIT") != "1":
        subprocess.run([sys.executable, "-m", "cosim", "warmup"], check=False)
