"""Live rows of a table from the segments of a version, read by pyarrow.

The only place beside docs/format-cassandra-segments.md that knows how segments are laid out. Columns are found by field id.
"""

import pyarrow.parquet

import cqltypes
from rows import Row, Stamp
from store import document, segment_files

FORMAT = b"2"
KEY_RAW, ROW_TS, ROW_TTL, ROW_LDT, KIND = 3, 4, 5, 6, 2
STATIC, ROW = 1, 2
# Field ids of what stands beside a column: 16 n and these. Fields of a multi-cell column's elements have the same numbers.
TS, TTL, LDT, STATE, RAW, PATH, PATH_RAW, CELL_VALUE = 1, 2, 3, 4, 5, 9, 10, 11
# States of cells: live, with TTL, and both with the value in `raw`.
LIVE, EXPIRING, LIVE_RAW, EXPIRING_RAW = 1, 2, 4, 5


class Table:
    """The columns of a table as its entry describes them: {kind: [(id, name, type)]}, keys in their order."""

    def __init__(self, entry):
        keyspace = entry["schema"]["keyspace"]
        udts = {udt["name"]: (udt["field_names"], udt["field_types"]) for udt in keyspace["types"]}
        ids = {column["name"]: column["id"] for column in entry["content"]["columns"]}
        self.columns = {"partition_key": [], "clustering": [], "static": [], "regular": []}
        (table,) = keyspace["tables"]
        for column in sorted(table["columns"], key=lambda column: column["position"]):
            kind = cqltypes.parse(column["cql_type"], udts)
            self.columns[column["kind"]].append((ids[column["name"]], column["name"], kind))
        self.descending = [
            column["clustering_order"] == "desc"
            for column in sorted(table["columns"], key=lambda column: column["position"])
            if column["kind"] == "clustering"
        ]

    def types(self, kind):
        return [kind for _, _, kind in self.columns[kind]]


def live_rows(store, key, now):
    """The table of the entry under `key`, and its rows that are alive at `now` (s since 1970)."""
    entry = document(store, key)
    table, rows = Table(entry), {}
    for path in segment_files(store, entry):
        for record in _records(path):
            if record[KIND] not in (STATIC, ROW):
                continue
            row = _row(table, record, now)
            if row.live:
                rows[_partition(table, record), _clustering(table, record)] = row
    return table, rows


def _records(path):
    """Records of a file as {field id: value}; fields of a multi-cell column's elements keep theirs too."""
    file = pyarrow.parquet.ParquetFile(path)
    metadata = file.schema_arrow.metadata
    if metadata[b"tidemark.format"] != FORMAT or metadata[b"tidemark.kind"] != b"cassandra":
        raise ValueError(f"{path} is no segment of format {FORMAT}")
    table = file.read()
    fields = [(_id(field), _element_ids(field)) for field in table.schema]
    columns = [column.to_pylist() for column in table.columns]
    for values in zip(*columns):
        yield {
            number: _renamed(value, elements) if elements else value for (number, elements), value in zip(fields, values)
        }


def _id(field):
    return int(field.metadata[b"PARQUET:field_id"])


def _element_ids(field):
    """Names of an element's fields with the last four bits of their ids; nothing for columns of one cell, lists among them."""
    if not pyarrow.types.is_list(field.type) or not pyarrow.types.is_struct(field.type.value_type):
        return None
    struct = field.type.value_type
    children = [struct.field(index) for index in range(struct.num_fields)]
    if any(b"PARQUET:field_id" not in (child.metadata or {}) for child in children):
        return None
    return {child.name: _id(child) % 16 for child in children}


def _renamed(elements, names):
    return elements and [{names[name]: value for name, value in element.items()} for element in elements]


def _partition(table, record):
    if record[KEY_RAW] is not None:
        return cqltypes.split_key(table.types("partition_key"), record[KEY_RAW])
    return tuple(cqltypes.typed(kind, record[16 * number]) for number, _, kind in table.columns["partition_key"])


def _clustering(table, record):
    if record[KIND] == STATIC:
        return None
    return tuple(_either(kind, record[16 * n], record[16 * n + RAW]) for n, _, kind in table.columns["clustering"])


def _either(kind, value, raw):
    return cqltypes.typed(kind, value) if raw is None else cqltypes.decode(kind, raw)


def _row(table, record, now):
    row = Row()
    if record[ROW_TS] is not None:
        marker = _stamp(record[ROW_TS], record[ROW_TTL], record[ROW_LDT])
        row.marker = marker if marker.alive(now) else None
    for number, name, kind in table.columns["static" if record[KIND] == STATIC else "regular"]:
        if kind.multi_cell:
            for element in record[16 * number] or []:
                path_kind, value_kind = _cell_kinds(kind, element)
                path = _either(path_kind, element[PATH], element[PATH_RAW])
                path = kind.fields[path] if kind.name == "udt" else path
                value = None if kind.name == "set" else element[CELL_VALUE]
                _add(row, (name, path), value_kind, record, element, value, now)
        else:
            beside = {number_: record[16 * number + number_] for number_ in (TS, TTL, LDT, STATE, RAW)}
            _add(row, (name, None), kind, record, beside, record[16 * number], now)
    return row


def _stamp(written, ttl, ldt):
    """Of what has a TTL `ldt` is the server's time of the write: it ends so much later."""
    return Stamp(written) if ttl is None else Stamp(written, ttl, (ldt + ttl) % (1 << 32))


def _cell_kinds(kind, element):
    """Types of path and value of a cell of a multi-cell column."""
    if kind.name == "udt":
        return cqltypes.Type("smallint"), kind.parts[element[PATH]]
    if kind.name == "list":
        return cqltypes.Type("timeuuid"), kind.parts[0]
    # A set's cells have no values.
    return kind.parts[0], kind.parts[1] if kind.name == "map" else None


def _add(row, place, kind, record, beside, value, now):
    """Adds a cell unless it is dead. What stands beside it and is null is as the row's."""
    if beside[STATE] not in (LIVE, EXPIRING, LIVE_RAW, EXPIRING_RAW):
        return
    own = lambda own, row: beside[own] if beside[own] is not None else record[row]
    stamp = Stamp(own(TS, ROW_TS))
    if beside[STATE] in (EXPIRING, EXPIRING_RAW):
        stamp = _stamp(stamp.written, own(TTL, ROW_TTL), own(LDT, ROW_LDT))
    if not stamp.alive(now):
        return
    raw = beside[RAW] if beside[STATE] in (LIVE_RAW, EXPIRING_RAW) else None
    row.cells[place] = (None if kind is None else _either(kind, value, raw), stamp)
