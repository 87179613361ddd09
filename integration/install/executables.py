#!/usr/bin/env python3
"""Lists test executables of one build: reads cargo's JSON messages on stdin, writes "area name executable directory" lines.

All tests come from one `cargo build --all-targets`: asking cargo for single targets would unify features anew and build
most dependencies once more. `area` is `server` for the tests of `integration`, which start servers, else `unit`.
"""

import json
import os
import sys

for line in sys.stdin:
    message = json.loads(line)
    if message.get("reason") != "compiler-artifact" or not message.get("executable") or not message["profile"]["test"]:
        continue
    directory = os.path.dirname(message["manifest_path"])
    target = message["target"]
    server = os.path.basename(directory) == "integration" and target["kind"] == ["test"]
    print("server" if server else "unit", target["name"], message["executable"], directory)
