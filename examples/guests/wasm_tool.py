#!/usr/bin/env python3
"""Looks into WebAssembly modules, and strips them.

    wasm_tool.py strip [--keep-names] IN OUT   leave the custom sections away
    wasm_tool.py check FILE...                 fail unless the modules are fit to be guests
    wasm_tool.py show FILE...                  size, imports, exports and custom sections

The linker's own stripping takes the names of functions along with the debug
information. Backtraces need the former, and nobody needs the latter.
"""

import sys

WASI = "wasi_snapshot_preview1"
KINDS = ["function", "table", "memory", "global", "tag"]
CUSTOM, IMPORT, EXPORT = 0, 2, 7

# What the guests may use: WebAssembly 2.0, and exceptions. The two in front of them are LLVM's names for
# parts of bulk-memory and reference-types.
ALLOWED_FEATURES = {
    "mutable-globals", "sign-ext", "multivalue", "bulk-memory", "reference-types",
    "nontrapping-fptoint", "simd128", "bulk-memory-opt", "call-indirect-overlong",
    "exception-handling",
}


class Reader:
    def __init__(self, data, at=0):
        self.data = data
        self.at = at

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def bytes(self, count):
        self.at += count
        return self.data[self.at - count:self.at]

    def unsigned(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def name(self):
        return self.bytes(self.unsigned()).decode()

    def limits(self):
        if self.byte() & 1:
            self.unsigned()
        self.unsigned()


def sections(data):
    """Yields each section's id, its contents, and the bytes it takes with its header."""
    if data[:8] != b"\0asm\1\0\0\0":
        raise ValueError("not a WebAssembly module")
    reader = Reader(data, 8)
    while reader.at < len(data):
        start = reader.at
        kind = reader.byte()
        contents = reader.bytes(reader.unsigned())
        yield kind, contents, data[start:reader.at]


def custom_names(data):
    return [Reader(contents).name() for kind, contents, _ in sections(data) if kind == CUSTOM]


def imports(data):
    """Yields the module, the name and the kind of each import."""
    for kind, contents, _ in sections(data):
        if kind != IMPORT:
            continue
        reader = Reader(contents)
        for _ in range(reader.unsigned()):
            module, name, what = reader.name(), reader.name(), reader.byte()
            if what == 0:
                reader.unsigned()
            elif what == 2:
                reader.limits()
            else:  # table or global: a type byte, then limits or mutability
                reader.byte()
                reader.limits() if what == 1 else reader.byte()
            yield module, name, KINDS[what]


def exports(data):
    for kind, contents, _ in sections(data):
        if kind != EXPORT:
            continue
        reader = Reader(contents)
        for _ in range(reader.unsigned()):
            name, what = reader.name(), reader.byte()
            reader.unsigned()
            yield name, KINDS[what]


def features(data):
    """The features that the linker says the module uses, if it left word of them."""
    used = set()
    for kind, contents, _ in sections(data):
        reader = Reader(contents)
        if kind == CUSTOM and reader.name() == "target_features":
            for _ in range(reader.unsigned()):
                if chr(reader.byte()) == "+":
                    used.add(reader.name())
                else:
                    reader.name()
    return used


def strip(data, keep_names):
    kept = [data[:8]]
    for kind, contents, whole in sections(data):
        if kind != CUSTOM or (keep_names and Reader(contents).name() == "name"):
            kept.append(whole)
    return b"".join(kept)


def faults(data):
    """Why a module is not fit to be a guest."""
    for module, name, kind in imports(data):
        if module != WASI or kind != "function":
            yield f"imports {kind} {module}.{name}"
    extra = features(data) - ALLOWED_FEATURES
    if extra:
        yield "uses " + ", ".join(sorted(extra))
    if not {("_start", "function"), ("_initialize", "function")} & set(exports(data)):
        yield "has neither _start nor _initialize"
    if ("memory", "memory") not in exports(data):
        yield "exports no memory"


def show(path, data):
    print(f"{path}: {len(data)} bytes")
    for module, name, kind in sorted(imports(data)):
        print(f"  import {kind} {module}.{name}")
    for name, kind in exports(data):
        print(f"  export {kind} {name}")
    for name in custom_names(data):
        print(f"  custom section {name}")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main(arguments):
    command, arguments = (arguments + [""])[0], arguments[1:]
    if command == "strip":
        keep_names = arguments[:1] == ["--keep-names"]
        source, target = arguments[keep_names:]
        stripped = strip(read(source), keep_names)
        if keep_names and "name" not in custom_names(stripped):
            sys.exit(f"{source}: no section of names to keep")
        with open(target, "wb") as file:
            file.write(stripped)
    elif command == "check":
        found = [f"{path}: {fault}" for path in arguments for fault in faults(read(path))]
        if found:
            sys.exit("\n".join(found))
    elif command == "show":
        for path in arguments:
            show(path, read(path))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
