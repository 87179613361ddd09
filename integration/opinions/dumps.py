"""Live rows of a table from what `sstabledump` prints of its SSTables on all replicas, merged by Cassandra's documented rules:
the newest write of a cell wins, a deletion covers what was written at or before its time, what has expired still hides what
is older. Knows nothing of files or segments.

`sstabledump -t -l` has keys, values and deletions as JSON, but leaves out the TTL of a cell where it is that of the row's INSERT,
so that it looks like a cell without any. Write time, TTL and expiry of every cell, in the same order, come from Cassandra's
own reader beside it (`ToolCalls.java`).
"""

import decimal
import json
from dataclasses import dataclass, field

import cqltypes
from rows import Row, Stamp

NEVER = -(1 << 63)


@dataclass
class Cell:
    """A value, or where `dead` its deletion."""

    stamp: Stamp
    dead: bool
    value: object = None


@dataclass
class Content:
    """All that is known of a row."""

    deleted: int = NEVER
    marker: Stamp | None = None
    columns_deleted: dict = field(default_factory=dict)
    cells: dict = field(default_factory=dict)


@dataclass
class Partition:
    deleted: int = NEVER
    # (start, end, time); a bound is (values of a prefix of the clustering, whether it is included).
    ranges: list = field(default_factory=list)
    rows: dict = field(default_factory=dict)


class Merge:
    """Dumps of one table, merged; `table` has its columns as `segments.Table` does."""

    def __init__(self, table):
        self.table = table
        self.kinds = {name: kind for group in ("static", "regular") for _, name, kind in table.columns[group]}
        self.clustering = table.types("clustering")
        self.partitions = {}

    def add(self, json_lines, stamp_lines):
        """Adds one SSTable: its dump, and the stamps of the cells of each of its rows."""
        stamps = iter([[_stamp(word) for word in line.split()] for line in stamp_lines.splitlines()])
        for line in json_lines.splitlines():
            partition = json.loads(line, parse_float=decimal.Decimal)
            shown = partition["partition"]
            key = tuple(cqltypes.dumped(kind, value) for kind, value in zip(self.table.types("partition_key"), shown["key"]))
            into = self.partitions.setdefault(key, Partition())
            into.deleted = max(into.deleted, _deleted(shown))
            self._unfiltered(into, partition["rows"], stamps)
        if next(stamps, None) is not None:
            raise ValueError("an SSTable has more rows than its dump")

    def live_rows(self, now):
        rows = {}
        for key, partition in self.partitions.items():
            for clustering, content in partition.rows.items():
                row = self._live(partition, clustering, content, now)
                if row.live:
                    rows[key, clustering] = row
        return rows

    def _unfiltered(self, into, shown, stamps):
        start = None
        for item in shown:
            if item["type"] in ("row", "static_block"):
                static = item["type"] == "static_block"
                clustering = None if static else self._values(item.get("clustering", []))
                self._row(into.rows.setdefault(clustering, Content()), item, next(stamps))
                continue
            if "end" in item:
                into.ranges.append((*start, self._bound(item["end"])))
            start = None
            if "start" in item:
                start = (_deleted(item["start"]), self._bound(item["start"]))
        if start is not None:
            raise ValueError("a range of deleted rows has no end")

    def _values(self, shown):
        return tuple(cqltypes.dumped(kind, value) for kind, value in zip(self.clustering, shown))

    def _bound(self, shown):
        prefix = [value for value in shown.get("clustering", []) if value != "*"]
        return self._values(prefix), shown["type"] == "inclusive"

    def _row(self, content, shown, stamps):
        content.deleted = max(content.deleted, _deleted(shown))
        liveness = shown.get("liveness_info")
        if liveness:
            marker = Stamp(int(liveness["tstamp"]), liveness.get("ttl"), _number(liveness.get("expires_at")))
            if content.marker is None or content.marker.written < marker.written:
                content.marker = marker
        cells = [cell for cell in shown["cells"] if not self._is_column_deletion(content, cell)]
        if len(cells) != len(stamps):
            raise ValueError(f"{len(cells)} cells with {len(stamps)} stamps: {shown}")
        for cell, stamp in zip(cells, stamps):
            self._cell(content, cell, stamp)

    def _is_column_deletion(self, content, shown):
        if "marked_deleted" not in shown.get("deletion_info", {}):
            return False
        name = _unquoted(shown["name"])
        content.columns_deleted[name] = max(content.columns_deleted.get(name, NEVER), _deleted(shown))
        return True

    def _cell(self, content, shown, stamp):
        if int(shown.get("tstamp", stamp.written)) != stamp.written or shown.get("ttl", stamp.ttl) != stamp.ttl:
            raise ValueError(f"{shown} is not {stamp}")
        name, dead = _unquoted(shown["name"]), "deletion_info" in shown
        kind, path = self.kinds[name], None
        if kind.multi_cell:
            path, kind = _path(kind, shown["path"][0])
        value = None if dead or kind is None else cqltypes.dumped(kind, shown["value"])
        known = content.cells.get((name, path))
        # Of one write a deletion wins: it is what is left of a value that has expired.
        if known is None or (known.stamp.written, known.dead) < (stamp.written, dead):
            content.cells[name, path] = Cell(stamp, dead, value)

    def _live(self, partition, clustering, content, now):
        deleted = max(partition.deleted, content.deleted)
        if clustering is not None:
            deleted = max([deleted] + [time for time, *ends in partition.ranges if self._covers(ends, clustering)])
        row = Row()
        if content.marker and content.marker.written > deleted and content.marker.alive(now):
            row.marker = content.marker
        for (name, path), cell in content.cells.items():
            newest = max(deleted, content.columns_deleted.get(name, NEVER))
            if cell.stamp.written > newest and not cell.dead and cell.stamp.alive(now):
                row.cells[name, path] = (cell.value, cell.stamp)
        return row

    def _covers(self, ends, clustering):
        (start, with_start), (end, with_end) = ends
        after, before = self._compare(clustering, start), self._compare(clustering, end)
        return (after > 0 or after == 0 and with_start) and (before < 0 or before == 0 and with_end)

    def _compare(self, clustering, prefix):
        """How a row stands to a bound in the table's order: 0 where the bound is a prefix of its clustering."""
        for kind, descending, left, right in zip(self.clustering, self.table.descending, clustering, prefix):
            left, right = cqltypes.order(kind, left), cqltypes.order(kind, right)
            if left != right:
                return 1 if (left > right) != descending else -1
        return 0


def _stamp(word):
    return Stamp(*map(int, word.split(":")))


def _path(kind, shown):
    """A cell's path, and the type of its value; a set's cells have none."""
    if kind.name == "udt":
        return shown, kind.parts[kind.fields.index(shown)]
    if kind.name == "list":
        return cqltypes.dumped(cqltypes.Type("timeuuid"), shown), kind.parts[0]
    return cqltypes.dumped(kind.parts[0], shown), kind.parts[1] if kind.name == "map" else None


def _deleted(shown):
    return int(shown.get("deletion_info", {}).get("marked_deleted", NEVER))


def _number(shown):
    return None if shown is None else int(shown)


def _unquoted(name):
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
