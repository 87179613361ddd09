"""Runs the code of docs/format-cassandra-segments.md as it stands there, with its placeholders filled in.

Usage: run_snippets.py DOC STORE VERSION OBJECT

Placeholders are the one line that sets `BUCKET` and `ENTRY`. OBJECT is a table as the document's: `kv (pk, ck, v)`. Prints
JSON: {"duckdb": rows that the DuckDB query shows, "pyarrow": rows of the Arrow table, "blocks": how many ran}; a row of
DuckDB is [pk, ck, v, write time in µs], one of pyarrow the same with the cell's state behind it.
"""

import datetime
import json
import pathlib
import re
import sys

import duckdb

from store import entry_keys

PLACEHOLDERS = re.compile(r"^BUCKET, ENTRY = .*$", re.MULTILINE)


def blocks(doc, store, entry):
    code = re.findall(r"^```python\n(.*?)^```$", pathlib.Path(doc).read_text(), re.MULTILINE | re.DOTALL)
    filled = [PLACEHOLDERS.subn(f"BUCKET, ENTRY = pathlib.Path({store!r}), {entry!r}", block) for block in code]
    if sum(count for _, count in filled) != 1:
        raise ValueError(f"{doc} does not set BUCKET and ENTRY once")
    return [block for block, _ in filled]


def micros(moment):
    return (moment - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)


def main(doc, store, version, name):
    shown = []
    scope = {"print": lambda *values: shown.extend(values)}
    code = blocks(doc, store, entry_keys(store, version)[name])
    for block in code:
        exec(compile(block, doc, "exec"), scope)
    (relation,) = [value for value in shown if isinstance(value, duckdb.DuckDBPyRelation)]
    table = scope["table"]
    columns = [table[name].to_pylist() for name in ("pk", "ck", "v")]
    states = table["v__state"].to_pylist()
    answer = {
        "duckdb": [[pk, ck, v, micros(written)] for pk, ck, v, written in relation.fetchall()],
        "pyarrow": [list(row) for row in zip(*columns, scope["written"].to_pylist(), states)],
        "blocks": len(code),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
