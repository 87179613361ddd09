"""Documents of a repository on local disk (docs/format.md), and the way from a version to the entry of one of its objects."""

import json
import pathlib

import pyarrow


def document(store, key):
    """The body of a JSON document, which may be a zstd frame."""
    data = (pathlib.Path(store) / key).read_bytes()
    if data[:4] == b"\x28\xb5\x2f\xfd":
        data = pyarrow.CompressedInputStream(pyarrow.BufferReader(data), "zstd").read()
    return json.loads(data)["body"]


def entry_keys(store, version):
    """Keys of the entries of a version's objects, by object name; `version` is `source.set.number`."""
    source, group, number = version.split(".")
    manifest = document(store, f"sources/{source}/sets/{group}/versions/{int(number):020}")
    pages = [document(store, page["key"]) for page in manifest["holds"]["pages"]]
    return {line["object"]: line["entry"]["key"] for page in pages for line in page["lines"] if line["entry"]}


def segment_files(store, entry):
    """Paths of an entry's segments, in order."""
    ranges = [item for page in entry["content"]["baseline"] for item in document(store, page["key"])["ranges"]]
    return [str(pathlib.Path(store) / item["stored"]["key"]) for item in ranges]
