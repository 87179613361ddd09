"""What two readers of the same table must agree about: its live rows.

A table is {(partition key, clustering or None for the static row): Row}. All values are in the form of `cqltypes`.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stamp:
    """Write time (µs) and, of what expires, TTL (s) and the moment of its end (s since 1970)."""

    written: int
    ttl: int | None = None
    expires: int | None = None

    def alive(self, now):
        return self.expires is None or self.expires > now


@dataclass
class Row:
    """The stamp of its INSERT, and its live cells: {(column, path or None): (value, stamp)}."""

    marker: Stamp | None = None
    cells: dict = field(default_factory=dict)

    @property
    def live(self):
        return self.marker is not None or bool(self.cells)


def differences(expected, found):
    """Every row in which two tables differ, for people."""
    lines = [f"{key}: missing" for key in expected.keys() - found.keys()]
    lines += [f"{key}: should not be there: {found[key]}" for key in found.keys() - expected.keys()]
    for key in expected.keys() & found.keys():
        left, right = expected[key], found[key]
        if left.marker != right.marker:
            lines.append(f"{key}: INSERT: expected {left.marker}, found {right.marker}")
        for cell in left.cells.keys() | right.cells.keys():
            if left.cells.get(cell) != right.cells.get(cell):
                lines.append(f"{key} {cell}: expected {left.cells.get(cell)}, found {right.cells.get(cell)}")
    return lines
