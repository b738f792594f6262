#!/usr/bin/env python3
"""Records what the native programs answer: record.py DIRECTORY, where the programs are.

inputs/NAME.txt has the requests of a guest, and expected/NAME.txt their answers, both separated by lines of three
hyphens.
"""
import pathlib
import subprocess
import sys

SEPARATOR = b"\n---\n"

here = pathlib.Path(__file__).parent
(here / "expected").mkdir(exist_ok=True)
for requests in sorted((here / "inputs").glob("*.txt")):
    program = pathlib.Path(sys.argv[1]) / requests.stem
    answers = [
        subprocess.run([program], input=request, capture_output=True, check=True).stdout
        for request in requests.read_bytes().rstrip(b"\n").split(SEPARATOR)
    ]
    (here / "expected" / requests.name).write_bytes(SEPARATOR.join(answers))
