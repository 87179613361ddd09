#!/usr/bin/env python3
"""Lists test executables of one build: reads cargo's JSON messages on stdin, writes "area name executable directory" lines.

All tests come from one `cargo build --all-targets`: asking cargo for single targets would unify features anew and build
most dependencies once more. `area` is `server` for a module of the executable `servers`, whose tests start servers, and
`name` is that of the module; it is `unit` for all other executables.
"""

import json
import os
import subprocess
import sys


def modules(executable):
    """Outermost modules of an executable's tests, in its own order."""
    listing = subprocess.run([executable, "--list", "--format", "terse"], check=True, capture_output=True, text=True)
    tests = [line.removesuffix(": test") for line in listing.stdout.splitlines() if line.endswith(": test")]
    return dict.fromkeys(test.split("::")[0] for test in tests)


for line in sys.stdin:
    message = json.loads(line)
    if message.get("reason") != "compiler-artifact" or not message.get("executable") or not message["profile"]["test"]:
        continue
    directory = os.path.dirname(message["manifest_path"])
    name, executable = message["target"]["name"], message["executable"]
    if name == "servers":
        for module in modules(executable):
            print("server", module, executable, directory)
    else:
        print("unit", name, executable, directory)
