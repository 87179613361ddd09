"""Compares the segments of a version with what `sstabledump` printed of all replicas' SSTables, row by row: keys, values, write
times, TTLs and expiries of everything that is alive.

Usage: compare_dumps.py STORE VERSION DUMPS

DUMPS is a directory with `TABLE/NUMBER.json` (`sstabledump -t -l`) and `TABLE/NUMBER.stamps` of every SSTable. Prints JSON:
{object: {"sstables", "rows", "static_rows", "cells", "expiring", "differences": [...]}}.
"""

import json
import pathlib
import sys
import time

from dumps import Merge
from segments import live_rows
from rows import differences
from store import entry_keys


def compare(store, key, dumps, now):
    table, found = live_rows(store, key, now)
    merge, files = Merge(table), sorted(dumps.glob("*.json"))
    for file in files:
        merge.add(file.read_text(), file.with_suffix(".stamps").read_text())
    expected = merge.live_rows(now)
    stamps = [stamp for row in expected.values() for _, stamp in row.cells.values()]
    static = sum(clustering is None for _, clustering in expected)
    return {
        "sstables": len(files),
        "rows": len(expected) - static,
        "static_rows": static,
        "cells": len(stamps),
        "expiring": sum(stamp.ttl is not None for stamp in stamps),
        "differences": differences(expected, found),
    }


def main(store, version, dumps):
    now = int(time.time())
    names = entry_keys(store, version).items()
    tables = {name: pathlib.Path(dumps) / name.split("/")[1] for name, _ in names}
    print(json.dumps({name: compare(store, key, tables[name], now) for name, key in names}))


if __name__ == "__main__":
    main(*sys.argv[1:])
