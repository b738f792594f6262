"""minirt for the test runner of the official WASI test suite (WebAssembly/wasi-testsuite).

The runner imports this file and asks how a test is to be started. TEST_RUNTIME_EXE or MINIRT names the program, with options if
need be; otherwise it is the `minirt` on the path.
"""

import os
import shlex
import subprocess

MINIRT = shlex.split(os.getenv("TEST_RUNTIME_EXE", os.getenv("MINIRT", "minirt")))


def get_name():
    return "minirt"


def get_version():
    said = subprocess.run(MINIRT[:1] + ["--version"], encoding="UTF-8", capture_output=True, check=True)
    return said.stdout.split()[-1]


def get_wasi_versions():
    return ["wasm32-wasip1"]


def compute_argv(test_path, args_env_dirs, proposals=(), wasi_version="wasm32-wasip1"):
    """The command line of a test. No proposal beyond preview 1 is there to be switched on."""
    if wasi_version not in get_wasi_versions() or proposals:
        raise ValueError(f"minirt has no {wasi_version} with {list(proposals)}")
    args, env, dirs = args_env_dirs
    argv = MINIRT + ["run"]
    for name, value in env.items():
        argv += ["--env", f"{name}={value}"]
    for host, guest in dirs:
        argv += ["--dir", f"{host}::{guest}"]
    return argv + [str(test_path)] + list(args)
