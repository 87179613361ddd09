"""Writes fixtures.cql: the statements that make the fixtures of cassandra-format. Deterministic but for TTL expiries."""
import random
r = random.Random(20261123)
out = []
def x(q): out.append(q)
x("DROP KEYSPACE IF EXISTS fx")
x("CREATE KEYSPACE fx WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1} AND durable_writes = true")
x("CREATE TYPE fx.inner (x int, names frozen<list<text>>)")
x('CREATE TYPE fx."Outer Type" (a text, "B b" frozen<inner>, c frozen<map<int, text>>)')
x("CREATE TYPE fx.addr (street text, zip int, tags frozen<set<text>>)")
LZ4 = "{'class': 'LZ4Compressor', 'chunk_length_in_kb': 4}"
PLAIN = "{'enabled': false}"
cols = """st text static, sm map<text, int> static, sd date static,
 a ascii, bi bigint, bl blob, bo boolean, da date, de decimal, d double, f float, i inet, n int, si smallint, ti tinyint,
 tm time, ts timestamp, tu timeuuid, u uuid, v varint, vc varchar, du duration,
 l list<int>, se set<text>, m map<text, int>, fl frozen<list<text>>, fs frozen<set<int>>, fm frozen<map<int, text>>,
 ud addr, fud frozen<addr>, "Odd ""Name" frozen<"Outer Type">, tup tuple<int, text, frozen<list<double>>>,
 vec vector<float, 4>, vt vector<text, 2>, vn vector<frozen<vector<int, 2>>, 3>, vs vector<smallint, 2>"""
T0 = 1_700_000_000_000_000
def hexs(n): return '0x' + r.randbytes(n).hex()
def fill_types(t, comp):
    x(f"CREATE TABLE fx.{t} (pk text, bucket int, ck1 timestamp, ck2 text, {cols},\n PRIMARY KEY ((pk, bucket), ck1, ck2)) WITH CLUSTERING ORDER BY (ck1 DESC, ck2 ASC) AND compression = {comp}")
    for k in range(5):
        for j in range(3):
            ts = T0 + k * 1000 + j
            x(f"""INSERT INTO fx.{t} (pk, bucket, ck1, ck2, a, bi, bl, bo, da, de, d, f, i, n, si, ti, tm, ts, tu, u, v, vc, du, l, se, m, fl, fs, fm, ud, fud, "Odd ""Name", tup, vec, vt, vn, vs)
 VALUES ('p{k}', {k % 3}, '2026-01-0{j+1} 00:00:00+0000', 'c{j}', 'asc{k}', {k * 10**10 - j}, {hexs(j * 3)}, {'true' if j & 1 else 'false'}, '20{20+j}-02-0{k+1}', {k-2}.{j}25, {k}.5e{j-1}, -{j}.25,
 '{'10.0.0.%d' % j if k % 2 else 'fe80::%d' % (j+1)}', {k - j}, {j - 200}, {j - 3}, '01:02:03.00000000{j}', '2026-01-0{j+1} 00:00:00.00{k}+0000', 5132b130-ae79-11e4-ab27-0800200c9a{k}{j}, 123e4567-e89b-42d3-a456-42661417400{j}, {(-1)**k * 10**(20+k) + j}, 'v\u00e7\u20ac{k}', {k}mo{j}d5h,
 [1, {j}, 3], {{'a', 'b{j}', '\u00e9'}}, {{'x': {j}, 'y': {k}}}, ['q', 'w{j}'], {{3, -1, {k+4}}}, {{2: 'two', -1: 'minus'}}, {{street: 's{k}', zip: {k}, tags: {{'t'}}}}, {{street: 'f{k}', zip: null, tags: {{'z', 'y'}}}},
 {{a: 'outer', "B b": {{x: {j}, names: ['n1', 'n2']}}, c: {{1: 'one'}}}}, ({j}, 't{k}', [1.5, 2.5]), [1.0, -2.0, 3.5, {j}.0], ['aa', '{'b' * j}'], [[1, 2], [-3, {k}], [5, {j}]], [{j}, -{k}]) USING TIMESTAMP {ts}""")
        x(f"UPDATE fx.{t} USING TIMESTAMP {T0 + k} SET st = 'static{k}', sm = {{'k': {k}, 'j': 2}} WHERE pk = 'p{k}' AND bucket = {k % 3}")
    W = lambda k, j: f"WHERE pk = 'p{k}' AND bucket = {k % 3} AND ck1 = '2026-01-0{j+1} 00:00:00+0000' AND ck2 = 'c{j}'"
    ts = T0 + 1_000_000
    x(f"UPDATE fx.{t} USING TIMESTAMP {ts} SET sm['z'] = 9, sd = '1969-12-31' WHERE pk = 'p1' AND bucket = 1")
    x(f"DELETE sm['k'] FROM fx.{t} USING TIMESTAMP {ts+1} WHERE pk = 'p1' AND bucket = 1")
    x(f"DELETE st FROM fx.{t} USING TIMESTAMP {ts+1} WHERE pk = 'p2' AND bucket = 2")
    x(f"DELETE n, l, m['x'], ud.zip FROM fx.{t} USING TIMESTAMP {ts} {W(0, 0)}")
    x(f"UPDATE fx.{t} USING TIMESTAMP {ts} AND TTL 604800 SET n = 5, vc = 'ttl', m['ttl'] = 1, se = se + {{'tt'}} {W(0, 1)}")
    x(f"UPDATE fx.{t} USING TIMESTAMP {ts} AND TTL 700000 SET ud.street = 'ttl', l = l + [9] {W(0, 2)}")
    x(f"INSERT INTO fx.{t} (pk, bucket, ck1, ck2, n, vc, m) VALUES ('ttl', 0, '1969-12-31 23:59:59.999+0000', '', 1, '', {{'q': 1}}) USING TTL 864000 AND TIMESTAMP {ts}")
    x(f"UPDATE fx.{t} USING TIMESTAMP {ts} AND TTL 800000 SET a = 'x', n = blobAsInt(0x) WHERE pk = 'ttl' AND bucket = 0 AND ck1 = '1969-12-31 23:59:59.999+0000' AND ck2 = ''")
    x(f"UPDATE fx.{t} USING TIMESTAMP -5 SET n = 1, u = blobAsUuid(0x), de = blobAsDecimal(0x) WHERE pk = 'old' AND bucket = -1 AND ck1 = blobAsTimestamp(0x) AND ck2 = 'e'")
    x(f"UPDATE fx.{t} USING TIMESTAMP 9223372036854775807 SET n = 2 WHERE pk = 'old' AND bucket = -1 AND ck1 = '2262-01-01' AND ck2 = 'e'")
    x(f"UPDATE fx.{t} USING TIMESTAMP {ts} SET st = 'only static' WHERE pk = 'static' AND bucket = 7")
    x(f"DELETE FROM fx.{t} USING TIMESTAMP {ts} WHERE pk = 'gone' AND bucket = 7")
fill_types('types', LZ4)
fill_types('types_plain', PLAIN)

# Wide: more than 64 columns, every form of the columns' subset.
x(f"CREATE TABLE fx.wide (pk int PRIMARY KEY, {', '.join('c%02d int' % i for i in range(66))}, m1 map<int, int>, m2 set<int>, s1 text) WITH compression = {LZ4}")
for i in range(24):
    n = [1, 2, 3, 20, 33, 34, 35, 36, 65, 66][i % 10]
    cs = r.sample(range(66), n)
    x(f"INSERT INTO fx.wide (pk, {', '.join('c%02d' % c for c in cs)}) VALUES ({i}, {', '.join(map(str, cs))}) USING TIMESTAMP {T0 + i}")
    if i % 3 == 0: x(f"UPDATE fx.wide USING TIMESTAMP {T0 + 50 + i} SET m1[{i}] = 1, m2 = m2 + {{{i}, -{i}}} WHERE pk = {i}")
allc = ['c%02d' % i for i in range(66)]
x(f"INSERT INTO fx.wide (pk, {', '.join(allc)}, m1, m2, s1) VALUES (100, {', '.join(map(str, range(66)))}, {{1: 1}}, {{1}}, 's') USING TIMESTAMP {T0 + 50}")

# Deletions.
x(f"CREATE TABLE fx.deletes (pk int, a int, b text, c int, s text static, v text, m map<int, text>, l list<text>, PRIMARY KEY (pk, a, b, c)) WITH CLUSTERING ORDER BY (a ASC, b DESC, c ASC) AND default_time_to_live = 500000 AND compression = {LZ4}")
for pk in range(6):
    for a in range(4):
        for b in 'xy':
            x(f"INSERT INTO fx.deletes (pk, a, b, c, v) VALUES ({pk}, {a}, '{b}', {a * pk}, 'v{pk}{a}{b}') USING TIMESTAMP {T0 + pk * 100 + a} AND TTL {0 if pk % 2 else 400000 + a}")
    x(f"UPDATE fx.deletes USING TIMESTAMP {T0 + pk} AND TTL 0 SET s = 's{pk}' WHERE pk = {pk}")
D = T0 + 2000
x(f"DELETE FROM fx.deletes USING TIMESTAMP {D} WHERE pk = 0")
x(f"INSERT INTO fx.deletes (pk, a, b, c, v) VALUES (0, 9, 'after', 1, 'alive') USING TIMESTAMP {D + 1} AND TTL 0")
x(f"DELETE FROM fx.deletes USING TIMESTAMP {D} WHERE pk = 1 AND a = 1")
x(f"DELETE FROM fx.deletes USING TIMESTAMP {D + 5} WHERE pk = 1 AND a > 1 AND a <= 3")
x(f"DELETE FROM fx.deletes USING TIMESTAMP {D + 3} WHERE pk = 2 AND a >= 1")
x(f"DELETE FROM fx.deletes USING TIMESTAMP {D + 7} WHERE pk = 2 AND a >= 2 AND a < 3")
x(f"DELETE FROM fx.deletes USING TIMESTAMP {D + 9} WHERE pk = 2 AND a = 2 AND b > 'x' AND b <= 'z'")
x(f"DELETE FROM fx.deletes USING TIMESTAMP {D} WHERE pk = 3 AND a = 2 AND b = 'x' AND c = 6")
x(f"DELETE FROM fx.deletes USING TIMESTAMP {D} WHERE pk = 3 AND a = 3 AND b = 'x' AND c > 1 AND c < 7")
x(f"DELETE FROM fx.deletes USING TIMESTAMP {D} WHERE pk = 3 AND a < 1")
x(f"DELETE v FROM fx.deletes USING TIMESTAMP {D} WHERE pk = 4 AND a = 0 AND b = 'x' AND c = 0")
x(f"UPDATE fx.deletes USING TIMESTAMP {D + 10} AND TTL 0 SET m = {{1: 'a', 2: 'b'}}, l = ['p', 'q'] WHERE pk = 4 AND a = 1 AND b = 'x' AND c = 4")
x(f"UPDATE fx.deletes USING TIMESTAMP {D + 20} AND TTL 0 SET m = {{}} WHERE pk = 4 AND a = 2 AND b = 'x' AND c = 8")
x(f"UPDATE fx.deletes USING TIMESTAMP {D + 21} AND TTL 0 SET m[7] = 'seven' WHERE pk = 4 AND a = 2 AND b = 'x' AND c = 8")
x(f"DELETE m[1], m[99] FROM fx.deletes USING TIMESTAMP {D + 30} WHERE pk = 4 AND a = 1 AND b = 'x' AND c = 4")
x(f"DELETE s FROM fx.deletes USING TIMESTAMP {D} WHERE pk = 5")
for i in range(12): x(f"DELETE FROM fx.deletes USING TIMESTAMP {D + i} WHERE pk = 6 AND a > {i} AND a <= {i + 1}")
x(f"DELETE FROM fx.deletes USING TIMESTAMP {D} WHERE pk = 7 AND a > 3")
x(f"DELETE FROM fx.deletes USING TIMESTAMP {D + 1} WHERE pk = 7 AND a < 3")

# Order of clusterings: in partition n only the n-th column varies.
ck = [('ascii', ["''", "'A'", "'a'", "'ab'"]), ('bigint', ['blobAsBigint(0x)', str(-2**63), '-1', '0', '1', str(2**63-1)]), ('blob', ['0x', '0x00', '0x7f', '0x80', '0xff', '0xff00']),
 ('boolean', ['false', 'true']), ('date', ['0', '2147483647', '2147483648', '2147504418', '4294967295']),
 ('decimal', ['blobAsDecimal(0x)', 'blobAsDecimal(0xfffffe70ff)', '-10.5', '-1', '-0.99', '0', '1e-300', '0.1', '0.11', '9', '10.00001', '10.1', '123456789012345678901234567890', '1e40']),
 ('double', ["blobAsDouble(0x)", '-Infinity', '-1.5', '-0.0', '0.0', '1e-300', '2.5', 'Infinity', 'NaN']), ('float', ['blobAsFloat(0x)', '-Infinity', '-1.5', '-0.0', '0.0', '2.5', 'Infinity', 'NaN']),
 ('inet', ['blobAsInet(0x)', "'1.2.3.4'", "'10.0.0.1'", "'::1'", "'fe80::1'", "'200.1.1.1'"]), ('int', ['blobAsInt(0x)', str(-2**31), '-1', '0', '1', '300']),
 ('smallint', ['-32768', '-1', '0', '1', '32767']), ('tinyint', ['-128', '-1', '0', '127']), ('text', ["''", "'a'", "'\u00e9'", "'\u20ac'", "'\U0001F600'"]), ('time', ["'00:00:00'", "'01:02:03.000000004'", "'23:59:59.999999999'"]),
 ('timestamp', ['blobAsTimestamp(0x)', '-1', '0', '1767225600000']), ('timeuuid', ['blobAsTimeuuid(0x)', '00000000-0000-1000-8080-808080808080', '00000000-0000-1000-7f7f-7f7f7f7f7f7f', '00000000-0000-1000-ffff-000000000000', 'ffffffff-0000-1000-8000-000000000000', '00000000-0001-1000-8000-000000000000', '00000000-0000-1fff-8000-000000000000', '5132b130-ae79-11e4-ab27-0800200c9a66']),
 ('uuid', ['blobAsUuid(0x)', '00000000-0000-0000-0000-000000000000', '00000000-0000-1000-8080-808080808080', '00000000-0000-1000-7f7f-7f7f7f7f7f7f', 'ffffffff-0000-1000-8000-000000000000', '00000000-0001-1000-8000-000000000000', '00000000-0000-4000-8000-000000000000', 'ffffffff-0000-4000-8000-000000000000', '10000000-0000-4000-8000-000000000000', '80000000-0000-7000-8000-000000000000']),
 ('varint', ['blobAsVarint(0x)', str(-2**70), '-32769', '-129', '-128', '-1', '0', '127', '128', '255', '256', str(2**70)]),
 ('frozen<list<int>>', ['[]', '[-1]', '[1]', '[1, -2]', '[1, 2]', '[2]']), ('frozen<set<text>>', ['{}', "{'a'}", "{'a', 'b'}", "{'b'}"]),
 ('frozen<map<int, text>>', ["{-1: 'z'}", "{1: 'a'}", "{1: 'a', 2: 'b'}", "{1: 'b'}"]), ('frozen<tuple<int, text>>', ["(null, 'a')", "(-1, 'a')", "(1, null)", "(1, 'a')", "(1, 'b')"]),
 ('frozen<addr>', ["{street: 'a'}", "{street: 'a', zip: -1}", "{street: 'a', zip: 1}", "{street: 'b', tags: {'x'}}", "{zip: 1}"]), ('vector<float, 2>', ['[-1.0, 5.0]', '[1.0, -3.0]', '[1.0, 3.0]']), ('vector<text, 2>', ["['a', 'z']", "['ab', '']", "['b', '']"])]
names = [f"k{i:02d}" for i in range(len(ck))]
rev = {1, 5, 12, 15, 18, 22}
def orders(t, comp, flip):
    d = lambda i: 'DESC' if (i in rev) != flip else 'ASC'
    x(f"CREATE TABLE fx.{t} (pk int, {', '.join(f'{n} {ty}' for n, (ty, _) in zip(names, ck))}, PRIMARY KEY (pk, {', '.join(names)})) WITH CLUSTERING ORDER BY ({', '.join(f'{n} {d(i)}' for i, n in enumerate(names))}) AND compression = {comp}")
    for i, (_, vals) in enumerate(ck):
        for v in r.sample(vals, len(vals)):
            row = [v if j == i else ck[j][1][1] for j in range(len(ck))]
            x(f"INSERT INTO fx.{t} (pk, {', '.join(names)}) VALUES ({i}, {', '.join(row)}) USING TIMESTAMP {T0 + i}")
orders('orders', LZ4, False)
orders('orders_flipped', PLAIN, True)

# Order of cell paths.
sets = [(f"s{i:02d}", ty, vals) for i, (ty, vals) in enumerate(ck)]
x(f"CREATE TABLE fx.paths (pk int PRIMARY KEY, {', '.join(f'{n} set<{ty}>, m{n} map<{ty}, int>' for n, ty, _ in sets)}, l list<int>, ud addr) WITH compression = {LZ4}")
for n, ty, vals in sets:
    vals = [v for v in vals if not v.endswith('(0x)')]
    x(f"UPDATE fx.paths USING TIMESTAMP {T0} SET {n} = {n} + {{{', '.join(r.sample(vals, len(vals)))}}}, m{n} = m{n} + {{{', '.join(v + ': 1' for v in r.sample(vals, len(vals)))}}} WHERE pk = 1")
for i in range(20): x(f"UPDATE fx.paths USING TIMESTAMP {T0 + i} SET l = {'l + [%d]' % i if i % 3 else '[%d] + l' % i} WHERE pk = {i % 2}")
x(f"UPDATE fx.paths USING TIMESTAMP {T0} SET ud.tags = {{'t'}}, ud.street = 's' WHERE pk = 2")

# Many chunks: compressible, incompressible and stored plain; uncompressed with several checksums.
def kv(t, comp):
    x(f"CREATE TABLE fx.{t} (pk int, ck int, v text, b blob, PRIMARY KEY (pk, ck)) WITH compression = {comp}")
    for i in range(84):
        v = 'text ' * 40 if i % 4 else 'short'
        x(f"INSERT INTO fx.{t} (pk, ck, v, b) VALUES ({i // 12}, {i % 12}, '{v}{i}', {hexs(6000 if i == 40 else 1100 if i % 3 else 10)}) USING TIMESTAMP {T0 + i}")
kv('kv', "{'class': 'LZ4Compressor', 'chunk_length_in_kb': 4, 'min_compress_ratio': 1.1}")
kv('kv_plain', PLAIN)

# Small: every byte of it is flipped by a test.
def small(t, comp):
    x(f"CREATE TABLE fx.{t} (pk int, ck int, s int static, v text, m map<int, int>, PRIMARY KEY (pk, ck)) WITH compression = {comp}")
    x(f"INSERT INTO fx.{t} (pk, ck, s, v, m) VALUES (1, 1, 1, 'one', {{1: 1, 2: 2}}) USING TIMESTAMP {T0}")
    x(f"INSERT INTO fx.{t} (pk, ck, v) VALUES (1, 2, 'two') USING TIMESTAMP {T0 + 1} AND TTL 5000000")
    x(f"DELETE FROM fx.{t} USING TIMESTAMP {T0 + 2} WHERE pk = 1 AND ck > 3 AND ck < 9")
    x(f"DELETE FROM fx.{t} USING TIMESTAMP {T0 + 3} WHERE pk = 1 AND ck = 2")
    x(f"DELETE FROM fx.{t} USING TIMESTAMP {T0 + 4} WHERE pk = 2")
small('small', LZ4)
small('small_plain', PLAIN)

# Counters.
x(f"CREATE TABLE fx.counters (pk int, ck int, c1 counter, c2 counter, PRIMARY KEY (pk, ck)) WITH compression = {LZ4}")
for i in range(10):
    x(f"UPDATE fx.counters SET c1 = c1 + {i}, c2 = c2 - 1 WHERE pk = {i % 3} AND ck = {i % 2}")
x("DELETE c2 FROM fx.counters WHERE pk = 2 AND ck = 0")
x("DELETE FROM fx.counters WHERE pk = 2 AND ck = 1")

# Dropped columns: `gone` and `gm` dropped after the flush, `back` and `bm` dropped and added again.
x(f"CREATE TABLE fx.dropped (pk int, ck int, st int static, gs int static, keep int, gone text, back int, gm map<int, int>, bm map<int, int>, PRIMARY KEY (pk, ck)) WITH compression = {LZ4}")
for i in range(4):
    x(f"INSERT INTO fx.dropped (pk, ck, st, gs, keep, gone, back, gm, bm) VALUES ({i // 2}, {i}, 1, 2, {i}, 'gone', {i}, {{1: 1}}, {{1: 1}}) USING TIMESTAMP {T0 + i}")
x(f"UPDATE fx.dropped USING TIMESTAMP {T0} SET gone = 'alone', back = 1 WHERE pk = 9 AND ck = 9")
x(f"UPDATE fx.dropped USING TIMESTAMP 32503680000000000 SET back = 77, bm[9] = 9 WHERE pk = 1 AND ck = 3")
open('fixtures.cql', 'w').write(';\n'.join(out) + ';\n')
open('drops.cql', 'w').write("""ALTER TABLE fx.dropped DROP gone;
ALTER TABLE fx.dropped DROP gm;
ALTER TABLE fx.dropped DROP gs;
ALTER TABLE fx.dropped DROP back;
ALTER TABLE fx.dropped DROP bm;
ALTER TABLE fx.dropped ADD back int;
ALTER TABLE fx.dropped ADD bm map<int, int>;
""")
