#!/usr/bin/env python3
"""Runs the cases of cases.tsv.

    cases.py record DIRECTORY    run the native programs of that directory, and
                                 write what they print to expected/
    cases.py check COMMAND...    run the .wasm programs, and compare

For check, COMMAND is a runtime and its first arguments, such as "minirt run".
Each case is run in the directory it needs, as

    COMMAND --dir . [--env NAME=VALUE]... GUEST.wasm ARGUMENT...

and a trap has to end it with the exit code 134.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

HOME = os.path.dirname(os.path.abspath(__file__))
TRAP_CODE = 134
TIME_LIMIT = 120


class Case(NamedTuple):
    name: str
    guest: str
    directory: str
    arguments: str
    stdin: str
    stdout: str
    exit: str
    stderr: str
    environment: str

    def words(self, field):
        return [] if field == "-" else field.split(" ")


class Outcome(NamedTuple):
    stdout: bytes
    stderr: bytes
    exit: str


def load_cases():
    with open(os.path.join(HOME, "cases.tsv"), encoding="utf-8") as file:
        for line in file:
            line = line.rstrip("\n")
            if line and not line.startswith("#"):
                yield Case(*line.split("\t"))


def run(case, command, environment):
    """Runs a command for a case: in its directory, with its input."""
    scratch = tempfile.mkdtemp() if case.directory == "@scratch" else None
    stdin = os.devnull if case.stdin == "-" else os.path.join(HOME, case.stdin)
    try:
        with open(stdin, "rb") as file:
            done = subprocess.run(
                command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIME_LIMIT,
                cwd=scratch or os.path.join(HOME, case.directory), env=environment)
    finally:
        if scratch:
            shutil.rmtree(scratch)
    trapped = done.returncode < 0 or done.returncode == TRAP_CODE
    return Outcome(done.stdout, done.stderr, "trap" if trapped else str(done.returncode))


def run_native(case, directory):
    program = os.path.join(os.path.abspath(directory), case.guest.removesuffix(".wasm"))
    environment = dict(pair.split("=", 1) for pair in case.words(case.environment))
    return run(case, [program] + case.words(case.arguments), environment)


def run_guest(case, command):
    options = ["--dir", "."]
    for pair in case.words(case.environment):
        options += ["--env", pair]
    guest = os.path.join(HOME, case.guest)
    return run(case, command + options + [guest] + case.words(case.arguments), None)


def record(case, outcome):
    """Writes down what came out, and says what contradicts the table."""
    with open(os.path.join(HOME, case.stdout), "wb") as file:
        file.write(outcome.stdout)
    if outcome.exit != case.exit:
        yield f"exit code {outcome.exit} instead of {case.exit}"
    if case.stderr not in ("-", "*"):
        with open(os.path.join(HOME, case.stderr), "wb") as file:
            file.write(outcome.stderr)
    elif case.stderr == "-" and outcome.stderr:
        yield f"unexpected on standard error: {outcome.stderr!r}"


def compare(case, outcome):
    """Says in what the outcome is not the expected one."""
    if outcome.exit != case.exit:
        yield f"exit code {outcome.exit} instead of {case.exit}"
    for name, expected, got in (("output", case.stdout, outcome.stdout), ("error", case.stderr, outcome.stderr)):
        if expected == "*":
            continue
        wanted = b""
        if expected != "-":
            with open(os.path.join(HOME, expected), "rb") as file:
                wanted = file.read()
        if got != wanted:
            yield f"standard {name} differs, it is {got[-600:]!r}"


def main(arguments):
    if len(arguments) < 2 or arguments[0] not in ("record", "check"):
        sys.exit(__doc__)
    passed = failed = 0
    for case in load_cases():
        if arguments[0] == "record":
            faults = list(record(case, run_native(case, arguments[1])))
        else:
            faults = list(compare(case, run_guest(case, arguments[1:])))
        for fault in faults:
            print(f"{case.name}: {fault}")
        passed += not faults
        failed += bool(faults)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
