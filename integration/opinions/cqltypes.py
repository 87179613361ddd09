"""Values of CQL types in one comparable form, from three sources that know nothing of each other: Cassandra's own bytes,
what `sstabledump` prints, and what a Parquet reader returns.

Integers and varints are int, text is str, blobs are bytes, timestamps are ms and dates days since 1970, times are ns,
decimals keep their scale, durations are (months, days, ns), addresses their bytes; frozen collections, tuples, vectors and
fields of user-defined types are tuples. A value of no bytes of a type that has none such is EMPTY. Numbers that JSON
cannot show (NaN, infinities) are None, as in the dump.
"""

import datetime
import decimal
import ipaddress
import re
import struct
import uuid
from dataclasses import dataclass

EMPTY = ()
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
INTEGERS = {"tinyint": 1, "smallint": 2, "int": 4, "bigint": 8, "counter": 8}
TEXTS = {"text", "varchar", "ascii"}
# Elements of these types stand in vectors without their lengths.
FIXED_IN_VECTORS = {"boolean": 1, "int": 4, "float": 4, "bigint": 8, "double": 8, "timestamp": 8, "uuid": 16, "timeuuid": 16}
NANOS = {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}


@dataclass(frozen=True)
class Type:
    """A CQL type: its name, the types in its brackets (fields of a user-defined type), names of fields, length of a vector."""

    name: str
    parts: tuple = ()
    fields: tuple = ()
    length: int = 0
    frozen: bool = False

    @property
    def multi_cell(self):
        return not self.frozen and self.name in ("list", "set", "map", "udt")


def parse(text, udts):
    """The type that `text` writes; `udts` are names of user-defined types with (field names, field types as text)."""
    tokens = re.findall(r'"(?:[^"]|"")*"|[\w]+|[<>,]', text)
    found, rest = _parse(tokens, udts)
    if rest:
        raise ValueError(f"type {text!r}")
    return found


def _parse(tokens, udts):
    name, rest = _unquoted(tokens[0]), tokens[1:]
    parts, length = [], 0
    if rest[:1] == ["<"]:
        while rest[0] != ">":
            if rest[1].isdigit():
                length, rest = int(rest[1]), rest[2:]
            else:
                part, rest = _parse(rest[1:], udts)
                parts.append(part)
        rest = rest[1:]
    if name == "frozen":
        inner = parts[0]
        return Type(inner.name, inner.parts, inner.fields, inner.length, True), rest
    if name in udts:
        names, types = udts[name]
        return Type("udt", tuple(parse(text, udts) for text in types), tuple(names)), rest
    return Type(name, tuple(parts), (), length, name in ("tuple", "vector")), rest


def decode(kind, data):
    """A value from Cassandra's own bytes."""
    name = kind.name
    if name in TEXTS:
        return data.decode()
    if name == "blob":
        return data
    if not data and name not in ("tuple", "udt"):
        return EMPTY
    if name in INTEGERS or name in ("varint", "timestamp", "time"):
        return int.from_bytes(data, "big", signed=True)
    if name == "boolean":
        return data != b"\0"
    if name in ("float", "double"):
        return _finite(struct.unpack(">f" if name == "float" else ">d", data)[0])
    if name in ("uuid", "timeuuid"):
        return uuid.UUID(bytes=data)
    if name == "date":
        return int.from_bytes(data, "big") - (1 << 31)
    if name == "inet":
        return data
    if name == "decimal":
        scale, unscaled = struct.unpack(">i", data[:4])[0], int.from_bytes(data[4:], "big", signed=True)
        return _decimal(decimal.Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -scale)))
    if name == "duration":
        return _duration_of(data)
    if name in ("list", "set", "map"):
        values = _sized(data[4:])
        kinds = [kind.parts[index % len(kind.parts)] for index in range(len(values))]
        flat = [_or_none(part, value) for part, value in zip(kinds, values)]
        return tuple(zip(flat[::2], flat[1::2])) if name == "map" else tuple(flat)
    if name in ("tuple", "udt"):
        return tuple(_or_none(part, value) for part, value in zip(kind.parts, _sized(data)))
    if name == "vector":
        return tuple(_vector(kind, data))
    raise ValueError(f"type {kind}")


def dumped(kind, shown):
    """A value as `sstabledump` prints it; parse its JSON with `decimal.Decimal` for numbers with a point."""
    name = kind.name
    if name in TEXTS:
        return shown
    if name == "blob":
        return bytes.fromhex(shown.removeprefix("0x"))
    if shown is None:
        return None
    if shown == "" and name not in ("list", "set", "map", "tuple", "udt", "vector"):
        return EMPTY
    if name in INTEGERS or name == "varint":
        return int(shown)
    if name == "boolean":
        return shown in (True, "true")
    if name == "float":
        return _finite(struct.unpack(">f", struct.pack(">f", float(shown)))[0])
    if name == "double":
        return _finite(float(shown))
    if name in ("uuid", "timeuuid"):
        return uuid.UUID(shown)
    if name == "timestamp":
        moment = datetime.datetime.strptime(shown.replace("T", " "), "%Y-%m-%d %H:%M:%S.%fZ")
        return (moment.replace(tzinfo=datetime.timezone.utc) - EPOCH) // datetime.timedelta(milliseconds=1)
    if name == "date":
        return (datetime.date.fromisoformat(shown) - EPOCH.date()).days
    if name == "time":
        hours, minutes, seconds, nanos = map(int, re.split("[:.]", shown))
        return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000 + nanos
    if name == "inet":
        return ipaddress.ip_address(shown).packed
    if name == "decimal":
        return _decimal(decimal.Decimal(shown))
    if name == "duration":
        return _duration_from(shown)
    if name == "map":
        key, value = kind.parts
        return tuple((dumped(key, left), dumped(value, right)) for left, right in shown.items())
    if name == "udt":
        shown = {_unquoted(field): value for field, value in shown.items()}
        return tuple(dumped(part, shown[field]) for field, part in zip(kind.fields, kind.parts))
    if name in ("list", "set", "vector"):
        return tuple(dumped(kind.parts[0], element) for element in shown)
    if name == "tuple":
        return tuple(dumped(part, element) for part, element in zip(kind.parts, shown))
    raise ValueError(f"type {kind}")


def typed(kind, value):
    """A value as a Parquet reader returns it: a Python value of its own type, or Cassandra's bytes.

    Decimals are dicts of `scale` and `unscaled`, frozen maps lists of dicts of `key` and `value`, user-defined types dicts by
    field, tuples dicts by `_1` and up.
    """
    if isinstance(value, list) and kind.name == "map":
        key, of = kind.parts
        return tuple((typed(key, pair["key"]), typed(of, pair["value"])) for pair in value)
    if isinstance(value, list):
        return tuple(typed(kind.parts[0], element) for element in value)
    if isinstance(value, dict) and kind.name == "decimal":
        digits = tuple(map(int, str(abs(value["unscaled"]))))
        return _decimal(decimal.Decimal((int(value["unscaled"] < 0), digits, -value["scale"])))
    if isinstance(value, dict):
        names = kind.fields if kind.name == "udt" else [f"_{index + 1}" for index in range(len(kind.parts))]
        return tuple(typed(part, value[name]) for part, name in zip(kind.parts, names))
    if isinstance(value, bytes):
        return decode(kind, value)
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, datetime.datetime):
        return (value - EPOCH) // datetime.timedelta(milliseconds=1)
    if isinstance(value, datetime.date):
        return (value - EPOCH.date()).days
    return value


def order(kind, value):
    """What sorts values of a clustering column as Cassandra does."""
    if kind.name in TEXTS:
        return value.encode()
    if kind.name == "timeuuid":
        signed = [byte - 256 if byte > 127 else byte for byte in value.bytes[8:]]
        return (value.time, signed)
    if kind.name == "tuple":
        return tuple(order(part, element) for part, element in zip(kind.parts, value))
    return value


def split_key(kinds, data):
    """Values of a partition key from its bytes: alone as they are, else each with two bytes of length and a zero after it."""
    if len(kinds) == 1:
        return (decode(kinds[0], data),)
    values = []
    for kind in kinds:
        length = int.from_bytes(data[:2], "big")
        values.append(decode(kind, data[2 : 2 + length]))
        data = data[3 + length :]
    return tuple(values)


def _unquoted(name):
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _or_none(kind, data):
    return None if data is None else decode(kind, data)


def _sized(data):
    """Values with four bytes of length each; a negative one is null."""
    values = []
    while data:
        length = struct.unpack(">i", data[:4])[0]
        values.append(None if length < 0 else data[4 : 4 + length])
        data = data[4 + max(length, 0) :]
    return values


def _vector(kind, data):
    element = kind.parts[0]
    length = FIXED_IN_VECTORS.get(element.name)
    for _ in range(kind.length):
        size, data = (length, data) if length else _vint(data)
        yield decode(element, data[:size])
        data = data[size:]


def _vint(data):
    """An unsigned vint and what follows it: the first byte's leading ones count the bytes behind it."""
    extra = 8 - (data[0] ^ 0xFF).bit_length()
    first = data[0] & (0xFF >> extra)
    return int.from_bytes(bytes([first]) + data[1 : 1 + extra], "big"), data[1 + extra :]


def _duration_of(data):
    parts = []
    for _ in range(3):
        number, data = _vint(data)
        parts.append((number >> 1) ^ -(number & 1))
    return tuple(parts)


def _duration_from(shown):
    months = days = nanos = 0
    for number, unit in re.findall(r"(\d+)([a-zµ]+)", shown):
        number = int(number)
        if unit in ("y", "mo"):
            months += number * (12 if unit == "y" else 1)
        elif unit in ("w", "d"):
            days += number * (7 if unit == "w" else 1)
        else:
            nanos += number * NANOS[unit]
    sign = -1 if shown.startswith("-") else 1
    return (sign * months, sign * days, sign * nanos)


def _decimal(value):
    return tuple(value.as_tuple())


def _finite(value):
    # The sign of zero counts: repr tells it.
    return None if value != value or value in (float("inf"), float("-inf")) else repr(value)
