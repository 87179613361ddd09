"""Statements that make the fixtures of one run: `python3 tables.py RUN DIRECTORY` writes before.cql and after.cql there.

`before.cql` is run and flushed, then `after.cql`: a table that `after.cql` writes to has two SSTables. Runs are nb, oa and
da (5.0), nb-4.1 and nb-4.0, where vectors are left out. Deterministic but for what the server adds: local deletion times,
expiries, paths of lists.
"""
import random, sys

RUN, OUT = sys.argv[1], sys.argv[2]
IS_5, IS_NATIVE = RUN in ("nb", "oa", "da"), RUN in ("oa", "da")
r = random.Random(20261125)
before, after = [], []
T0 = 1_700_000_000_000_000
COMPRESSORS = {
    "lz4": "{'class': 'LZ4Compressor', 'chunk_length_in_kb': 4}",
    "snappy": "{'class': 'SnappyCompressor', 'chunk_length_in_kb': 4}",
    "deflate": "{'class': 'DeflateCompressor', 'chunk_length_in_kb': 4}",
    "zstd": "{'class': 'ZstdCompressor', 'chunk_length_in_kb': 4, 'compression_level': 1}",
    "noop": "{'class': 'NoopCompressor', 'chunk_length_in_kb': 4}",
    "plain": "{'enabled': false}",
}


def x(statement): before.append(statement)
def y(statement): after.append(statement)
def hexs(n): return "0x" + r.randbytes(n).hex()
def ratio(compression): return compression.replace("}", ", 'min_compress_ratio': 1.1}") if "class" in compression else compression


x("DROP KEYSPACE IF EXISTS fx")
x("CREATE KEYSPACE fx WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
x("CREATE TYPE fx.inner (x int, names frozen<list<text>>)")
x('CREATE TYPE fx."Outer Type" (a text, "B b" frozen<inner>, c frozen<map<int, text>>)')
x("CREATE TYPE fx.addr (street text, zip int, tags frozen<set<text>>)")
x("CREATE TYPE fx.grown (a int, b text)")


def small(name, compression):
    """Few rows of every kind: a test flips every bit of it."""
    x(f"CREATE TABLE fx.{name} (pk int, ck int, s int static, v text, m map<int, int>, PRIMARY KEY (pk, ck)) WITH compression = {compression}")
    x(f"INSERT INTO fx.{name} (pk, ck, s, v, m) VALUES (1, 1, 1, 'one', {{1: 1, 2: 2}}) USING TIMESTAMP {T0}")
    x(f"INSERT INTO fx.{name} (pk, ck, v) VALUES (1, 2, 'two') USING TIMESTAMP {T0 + 1} AND TTL 5000000")
    x(f"DELETE FROM fx.{name} USING TIMESTAMP {T0 + 2} WHERE pk = 1 AND ck > 3 AND ck < 9")
    x(f"DELETE FROM fx.{name} USING TIMESTAMP {T0 + 3} WHERE pk = 1 AND ck = 2")
    x(f"DELETE FROM fx.{name} USING TIMESTAMP {T0 + 4} WHERE pk = 2")


def chunks(name, compression):
    """Several chunks of 4 KiB; one is stored as it is."""
    x(f"CREATE TABLE fx.{name} (pk int, ck int, v text, b blob, PRIMARY KEY (pk, ck)) WITH compression = {ratio(compression)}")
    for i in range(40):
        text = "text " * 60 if i % 4 else "short"
        blob = hexs(5000 if i == 20 else 40 if i % 3 else 4)
        x(f"INSERT INTO fx.{name} (pk, ck, v, b) VALUES ({i // 8}, {i % 8}, '{text}{i}', {blob}) USING TIMESTAMP {T0 + i}")


VECTORS = ", vec vector<float, 4>, vt vector<text, 2>, vn vector<frozen<vector<int, 2>>, 2>, vs vector<smallint, 2>" if IS_5 else ""


def types(name, compression):
    """Every type, statics, user-defined types, multi-cell columns, TTLs, deletions of cells, composite keys, DESC."""
    x(f"""CREATE TABLE fx.{name} (pk text, bucket int, ck1 timestamp, ck2 text, st text static, sm map<text, int> static, sd date static,
 a ascii, bi bigint, bl blob, bo boolean, da date, de decimal, d double, f float, i inet, n int, si smallint, ti tinyint,
 tm time, ts timestamp, tu timeuuid, u uuid, v varint, vc varchar, du duration,
 l list<int>, se set<text>, m map<text, int>, fl frozen<list<text>>, fs frozen<set<int>>, fm frozen<map<int, text>>,
 ud addr, fud frozen<addr>, "Odd ""Name" frozen<"Outer Type">, tup tuple<int, text, frozen<list<double>>>{VECTORS},
 PRIMARY KEY ((pk, bucket), ck1, ck2)) WITH CLUSTERING ORDER BY (ck1 DESC, ck2 ASC) AND compression = {compression}""")
    vector_names, k = (", vec, vt, vn, vs", 0) if IS_5 else ("", 0)
    for k in range(2):
        for j in range(2):
            vectors = f", [1.0, -2.0, 3.5, {j}.0], ['aa', '{'b' * j}'], [[1, 2], [-3, {k}]], [{j}, -{k}]" if IS_5 else ""
            x(f"""INSERT INTO fx.{name} (pk, bucket, ck1, ck2, a, bi, bl, bo, da, de, d, f, i, n, si, ti, tm, ts, tu, u, v, vc, du, l, se, m, fl, fs, fm, ud, fud, "Odd ""Name", tup{vector_names})
 VALUES ('p{k}', {k}, '2026-01-0{j + 1} 00:00:00+0000', 'c{j}', 'asc{k}', {k * 10**10 - j}, {hexs(j * 3)}, {'true' if j else 'false'}, '202{j}-02-0{k + 1}', {k - 2}.{j}25, {k}.5e{j - 1}, -{j}.25,
 '{'10.0.0.%d' % j if k else 'fe80::%d' % (j + 1)}', {k - j}, {j - 200}, {j - 3}, '01:02:03.00000000{j}', '2026-01-0{j + 1} 00:00:00.00{k}+0000', 5132b130-ae79-11e4-ab27-0800200c9a{k}{j}, 123e4567-e89b-42d3-a456-42661417400{j}, {(-1)**k * 10**(20 + k) + j}, 'v\u00e7\u20ac{k}', {k}mo{j}d5h,
 [1, {j}, 3], {{'a', 'b{j}', '\u00e9'}}, {{'x': {j}, 'y': {k}}}, ['q', 'w{j}'], {{3, -1, {k + 4}}}, {{2: 'two', -1: 'minus'}}, {{street: 's{k}', zip: {k}, tags: {{'t'}}}}, {{street: 'f{k}', zip: null, tags: {{'z', 'y'}}}},
 {{a: 'outer', "B b": {{x: {j}, names: ['n1', 'n2']}}, c: {{1: 'one'}}}}, ({j}, 't{k}', [1.5, 2.5]){vectors}) USING TIMESTAMP {T0 + k * 1000 + j}""")
        x(f"UPDATE fx.{name} USING TIMESTAMP {T0 + k} SET st = 'static{k}', sm = {{'k': {k}, 'j': 2}} WHERE pk = 'p{k}' AND bucket = {k}")
    where = lambda k, j: f"WHERE pk = 'p{k}' AND bucket = {k} AND ck1 = '2026-01-0{j + 1} 00:00:00+0000' AND ck2 = 'c{j}'"
    ts = T0 + 1_000_000
    x(f"UPDATE fx.{name} USING TIMESTAMP {ts} SET sm['z'] = 9, sd = '1969-12-31' WHERE pk = 'p1' AND bucket = 1")
    x(f"DELETE sm['k'] FROM fx.{name} USING TIMESTAMP {ts + 1} WHERE pk = 'p1' AND bucket = 1")
    x(f"DELETE n, l, m['x'], ud.zip FROM fx.{name} USING TIMESTAMP {ts} {where(0, 0)}")
    x(f"UPDATE fx.{name} USING TIMESTAMP {ts} AND TTL 604800 SET n = 5, vc = 'ttl', m['ttl'] = 1, se = se + {{'tt'}} {where(0, 1)}")
    x(f"UPDATE fx.{name} USING TIMESTAMP {ts} AND TTL 700000 SET ud.street = 'ttl', l = l + [9] {where(1, 0)}")
    x(f"INSERT INTO fx.{name} (pk, bucket, ck1, ck2, n, vc, m) VALUES ('ttl', 0, '1969-12-31 23:59:59.999+0000', '', 1, '', {{'q': 1}}) USING TTL 864000 AND TIMESTAMP {ts}")
    x(f"UPDATE fx.{name} USING TIMESTAMP -5 SET n = 1, u = blobAsUuid(0x), de = blobAsDecimal(0x) WHERE pk = 'old' AND bucket = -1 AND ck1 = blobAsTimestamp(0x) AND ck2 = 'e'")
    x(f"UPDATE fx.{name} USING TIMESTAMP 9223372036854775807 SET n = 2 WHERE pk = 'old' AND bucket = -1 AND ck1 = '2262-01-01' AND ck2 = 'e'")
    x(f"UPDATE fx.{name} USING TIMESTAMP {ts} SET st = 'only static' WHERE pk = 'static' AND bucket = 7")
    x(f"DELETE FROM fx.{name} USING TIMESTAMP {ts} WHERE pk = 'gone' AND bucket = 7")


for compressor, compression in COMPRESSORS.items():
    if compressor == "noop" and RUN != "da": continue
    types(f"types_{compressor}", compression)
    if IS_5:
        if (RUN, compressor) not in (("nb", "lz4"), ("nb", "plain")): small(f"small_{compressor}", compression)
        chunks(f"chunks_{compressor}", compression)
rotated = {"nb": ["zstd", "snappy", "deflate"], "oa": ["snappy", "deflate", "zstd"], "da": ["deflate", "zstd", "lz4"], "nb-4.1": ["deflate", "lz4", "zstd"]}
FIRST, SECOND, THIRD = (COMPRESSORS[name] for name in rotated.get(RUN, ["lz4", "deflate", "zstd"]))

# Least, greatest, zero and empty values of every type; each is a value of a row, whose key is its place in the list.
EXTREMES = [
    ("ascii", ["''", "'\x7f'", f"'{'a' * 300}'"]),
    ("bigint", [str(-2**63), str(2**63 - 1), "0", "blobAsBigint(0x)"]),
    ("blob", ["0x", "0x00", "0x" + "ff" * 300]),
    ("boolean", ["false", "true"]),
    ("date", ["0", "4294967295", "2147483648"]),
    ("decimal", ["0", "-0.0", "1e-40", "-12345678901234567890.123456789", "blobAsDecimal(0x)", "blobAsDecimal(0x7fffffff01)", "blobAsDecimal(0x8000000001)"]),
    ("double", ["4.9e-324", "1.7976931348623157e308", "-0.0", "NaN", "Infinity", "-Infinity", "blobAsDouble(0x)"]),
    ("float", ["1.4e-45", "3.4028235e38", "-0.0", "NaN", "-Infinity", "blobAsFloat(0x)"]),
    ("inet", ["'0.0.0.0'", "'255.255.255.255'", "'::'", "'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'", "blobAsInet(0x)"]),
    ("int", [str(-2**31), str(2**31 - 1), "0", "blobAsInt(0x)"]),
    ("smallint", ["-32768", "32767", "0"]),
    ("tinyint", ["-128", "127", "0"]),
    ("time", ["0", "86399999999999"]),
    ("timestamp", [str(-2**63), str(2**63 - 1), "0", "blobAsTimestamp(0x)"]),
    ("timeuuid", ["00000000-0000-1000-8080-808080808080", "ffffffff-ffff-1fff-bf7f-7f7f7f7f7f7f", "blobAsTimeuuid(0x)"]),
    ("uuid", ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "blobAsUuid(0x)"]),
    ("varint", [str(-2**200), str(2**200), "0", "-1", "255", "blobAsVarint(0x)"]),
    ("text", ["''", "'\U0001F600'", f"'{'z' * 300}'"]),
    ("duration", ["0ns", "2147483647mo2147483647d9223372036854775807ns", "-2147483647mo2147483647d9223372036854775807ns", "1y2w3h"]),
    ("frozen<list<text>>", ["[]", "['']", "['a', '']"]),
    ("frozen<map<int, blob>>", ["{}", "{-2147483648: 0x}"]),
    ("frozen<tuple<int, text>>", ["(null, '')", "(1, null)", "(null, null)"]),
]
if IS_5:
    EXTREMES += [
        ("vector<float, 3>", ["[0.0, -0.0, NaN]", "[1.4e-45, 3.4028235e38, -Infinity]"]),
        ("vector<text, 3>", ["['', '', '']", f"['a', '{'b' * 200}', '']"]),
        ("vector<varint, 2>", [f"[{2**100}, 0]"]),
        ("vector<frozen<list<int>>, 2>", ["[[], [1, 2]]"]),
        ("vector<frozen<tuple<int, text>>, 1>", ["[(1, 'x')]"]),
    ]
names = [f"c{i:02d}" for i in range(len(EXTREMES))]
x(f"CREATE TABLE fx.extremes (pk int PRIMARY KEY, {', '.join(f'{n} {t}' for n, (t, _) in zip(names, EXTREMES))}) WITH compression = {FIRST}")
for i in range(max(len(values) for _, values in EXTREMES)):
    there = [(n, values[i]) for n, (_, values) in zip(names, EXTREMES) if i < len(values)]
    x(f"INSERT INTO fx.extremes (pk, {', '.join(n for n, _ in there)}) VALUES ({i}, {', '.join(v for _, v in there)}) USING TIMESTAMP {T0 + i}")

# 69 columns: each form of the columns' subset.
x(f"CREATE TABLE fx.wide (pk int PRIMARY KEY, {', '.join('c%02d int' % i for i in range(66))}, m1 map<int, int>, m2 set<int>, s1 text) WITH compression = {SECOND}")
for i, n in enumerate([1, 2, 3, 20, 33, 34, 35, 36, 65, 66]):
    columns = r.sample(range(66), n)
    x(f"INSERT INTO fx.wide (pk, {', '.join('c%02d' % c for c in columns)}) VALUES ({i}, {', '.join(map(str, columns))}) USING TIMESTAMP {T0 + i}")
    if i % 3 == 0: x(f"UPDATE fx.wide USING TIMESTAMP {T0 + 50 + i} SET m1[{i}] = 1, m2 = m2 + {{{i}, -{i}}} WHERE pk = {i}")

# All six kinds of bounds, on prefixes of every length, DESC too; row, cell, element, collection and partition deletions.
x(f"CREATE TABLE fx.bounds (pk int, a int, b text, c int, s text static, v text, m map<int, text>, l list<text>, PRIMARY KEY (pk, a, b, c)) WITH CLUSTERING ORDER BY (a ASC, b DESC, c ASC) AND default_time_to_live = 500000 AND compression = {THIRD}")
for pk in range(4):
    for a in range(4):
        x(f"INSERT INTO fx.bounds (pk, a, b, c, v) VALUES ({pk}, {a}, 'x', {a * pk}, 'v{pk}{a}') USING TIMESTAMP {T0 + pk * 100 + a} AND TTL {0 if pk % 2 else 400000 + a}")
D = T0 + 2000
x(f"DELETE FROM fx.bounds USING TIMESTAMP {D} WHERE pk = 0")
x(f"INSERT INTO fx.bounds (pk, a, b, c, v) VALUES (0, 9, 'after', 1, 'alive') USING TIMESTAMP {D + 1} AND TTL 0")
x(f"DELETE FROM fx.bounds USING TIMESTAMP {D + 5} WHERE pk = 1 AND a > 1 AND a <= 3")
x(f"DELETE FROM fx.bounds USING TIMESTAMP {D + 3} WHERE pk = 2 AND a >= 1")
x(f"DELETE FROM fx.bounds USING TIMESTAMP {D + 7} WHERE pk = 2 AND a >= 2 AND a < 3")
x(f"DELETE FROM fx.bounds USING TIMESTAMP {D + 9} WHERE pk = 2 AND a = 2 AND b > 'w' AND b <= 'z'")
x(f"DELETE FROM fx.bounds USING TIMESTAMP {D} WHERE pk = 3 AND a = 2 AND b = 'x' AND c = 6")
x(f"DELETE FROM fx.bounds USING TIMESTAMP {D} WHERE pk = 3 AND a = 3 AND b = 'x' AND c > 10 AND c < 20")
for i in range(4): x(f"DELETE FROM fx.bounds USING TIMESTAMP {D + i} WHERE pk = 6 AND a > {i} AND a <= {i + 1}")
x(f"DELETE FROM fx.bounds USING TIMESTAMP {D} WHERE pk = 7 AND a > 3")
x(f"DELETE FROM fx.bounds USING TIMESTAMP {D + 1} WHERE pk = 7 AND a < 3")
x(f"UPDATE fx.bounds USING TIMESTAMP {D + 20} AND TTL 0 SET m = {{}}, l = ['p', 'q'] WHERE pk = 8 AND a = 2 AND b = '' AND c = 8")
x(f"UPDATE fx.bounds USING TIMESTAMP {D + 21} AND TTL 0 SET m[7] = 'seven' WHERE pk = 8 AND a = 2 AND b = '' AND c = 8")
x(f"DELETE m[1], v FROM fx.bounds USING TIMESTAMP {D + 30} WHERE pk = 8 AND a = 2 AND b = '' AND c = 8")
x(f"DELETE s FROM fx.bounds USING TIMESTAMP {D} WHERE pk = 9")

# Partitions that are nothing but a static row, of one column, of several cells, deleted.
x(f"CREATE TABLE fx.statics (k1 int, k2 text, ck int, a int static, m map<int, int> static, v int, PRIMARY KEY ((k1, k2), ck)) WITH compression = {FIRST}")
x(f"UPDATE fx.statics USING TIMESTAMP {T0} SET a = 1 WHERE k1 = 1 AND k2 = ''")
x(f"UPDATE fx.statics USING TIMESTAMP {T0} AND TTL 900000 SET m = m + {{1: 1, 2: 2}} WHERE k1 = 2 AND k2 = 'two'")
x(f"DELETE a, m FROM fx.statics USING TIMESTAMP {T0 + 1} WHERE k1 = 3 AND k2 = 'three'")
x(f"INSERT INTO fx.statics (k1, k2, ck, v) VALUES (4, 'no static', 1, 1) USING TIMESTAMP {T0}")

# A tuple that lacks its last elements, which sstabledump cannot print.
x("CREATE TABLE fx.tuples (pk int PRIMARY KEY, t tuple<int, text, int>)")
x(f"INSERT INTO fx.tuples (pk, t) VALUES (1, (1, 'short')) USING TIMESTAMP {T0}")

# Written before and after user-defined types got further fields.
for name in ("grown", "compacted"):
    x(f"CREATE TABLE fx.{name} (pk int PRIMARY KEY, f frozen<grown>, g grown, l list<frozen<grown>>, t tuple<int, text, int>) WITH compression = {SECOND}")
    x(f"INSERT INTO fx.{name} (pk, f, g, l, t) VALUES (1, {{a: 1, b: 'b'}}, {{a: 1, b: 'b'}}, [{{a: 2}}], (1, 'short', null)) USING TIMESTAMP {T0}")
    x(f"INSERT INTO fx.{name} (pk, f) VALUES (2, {{a: 2, b: 'gone'}}) USING TIMESTAMP {T0}")
y("ALTER TYPE fx.grown ADD c double")
y("ALTER TYPE fx.grown ADD d frozen<list<int>>")
for name in ("grown", "compacted"):
    y(f"INSERT INTO fx.{name} (pk, f, g, l, t) VALUES (1, {{a: 1, c: 1.5, d: [1]}}, {{a: 7, b: 'b', c: 2.5, d: [1, 2]}}, [{{d: []}}], (1, 'whole', 3)) USING TIMESTAMP {T0 + 1}")
    y(f"UPDATE fx.{name} USING TIMESTAMP {T0 + 2} SET g.c = 9.5 WHERE pk = 3")
    y(f"DELETE FROM fx.{name} USING TIMESTAMP {T0 + 3} WHERE pk = 2")

if IS_NATIVE:
    # Expiries after 2038, beyond what a signed local deletion time holds.
    x(f"CREATE TABLE fx.late (pk int PRIMARY KEY, v int, m map<int, int>) WITH compression = {THIRD}")
    x(f"INSERT INTO fx.late (pk, v, m) VALUES (1, 1, {{1: 1}}) USING TIMESTAMP {T0} AND TTL 630720000")
    x(f"INSERT INTO fx.late (pk, v) VALUES (2, 1) USING TIMESTAMP {T0} AND TTL 500000000")
    x(f"DELETE FROM fx.late USING TIMESTAMP {T0} WHERE pk = 3")
    x(f"UPDATE fx.late USING TIMESTAMP {T0} SET v = 4 WHERE pk = 4")

    # Clusterings of every type and direction, which the statistics of these formats list.
    ordered = [("int", "-1", "ASC"), ("text", "'t'", "DESC"), ("varint", "7", "ASC"), ("boolean", "true", "DESC"), ("uuid", "123e4567-e89b-42d3-a456-426614174000", "ASC"),
               ("frozen<list<int>>", "[1]", "DESC"), ("frozen<addr>", "{street: 's'}", "ASC"), ("blob", "0x", "DESC"), ("date", "1", "ASC"), ("vector<float, 2>", "[1, 2]", "DESC")]
    ordered += [("int", str(i), "ASC") for i in range(30)]
    ck = [f"k{i:02d}" for i in range(len(ordered))]
    x(f"CREATE TABLE fx.ordered (pk int, {', '.join(f'{n} {t}' for n, (t, _, _) in zip(ck, ordered))}, PRIMARY KEY (pk, {', '.join(ck)})) WITH CLUSTERING ORDER BY ({', '.join(f'{n} {d}' for n, (_, _, d) in zip(ck, ordered))}) AND compression = {FIRST}")
    for pk, last in ((1, 5), (1, 6), (2, 7)):
        values = [v for _, v, _ in ordered][:-1] + [str(last)]
        x(f"INSERT INTO fx.ordered (pk, {', '.join(ck)}) VALUES ({pk}, {', '.join(values)}) USING TIMESTAMP {T0}")

for name, statements in (("before", before), ("after", after)):
    with open(f"{OUT}/{name}.cql", "w") as file: file.write(";\n".join(statements) + ";\n")
