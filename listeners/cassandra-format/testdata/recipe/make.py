"""Makes the fixtures of one run: `python3 make.py RUN JARS DRIVER ADDRESS`, for example
`python3 make.py da ~/.cache/tidemark/cassandra/5.0.9 cassandra-driver-core-3.12.1-shaded.jar 127.0.60.1`.

One node of the version that JARS are of is started on ADDRESS, runs the statements of tables.py and writes its SSTables;
they are copied to ../RUN with what sstabledump says of each. Needs a JDK 17.
"""
import glob, os, re, shutil, signal, subprocess, sys, tempfile, time
from pathlib import Path

RUN, JARS, DRIVER, ADDRESS = sys.argv[1], *map(os.path.abspath, sys.argv[2:4]), sys.argv[4]
HERE = Path(__file__).resolve().parent
SERVER = HERE.parents[3] / "integration" / "cassandra"
COMPONENTS = ("Data.db", "Statistics.db", "CompressionInfo.db", "CRC.db", "Digest.crc32", "TOC.txt")
MODES = {
    "oa": "storage_compatibility_mode: NONE\n",
    "da": "storage_compatibility_mode: NONE\nsstable:\n  selected_format: bti\nuuid_sstable_identifiers_enabled: true\n",
}
IS_4 = RUN.startswith("nb-4")
PORT = 7200 + 100 * int(ADDRESS.split(".")[2]) + int(ADDRESS.split(".")[3])
home = Path(tempfile.mkdtemp(prefix=f"fixtures-{RUN}-"))


def options():
    lines = [line for line in (SERVER / "jvm.options").read_text().splitlines() if line.startswith("-")]
    if not IS_4: return lines
    # The object walker of 4.x looks into every class of the JDK.
    for module in ("java.base", "java.logging", "java.management", "java.management.rmi", "java.rmi", "jdk.management"):
        described = subprocess.run(["java", "--describe-module", module], capture_output=True, text=True, check=True).stdout
        for package in sorted(set(re.findall(r"(?m)^(?:exports|contains|qualified exports) ([\w.]+)", described))):
            lines.append(f"--add-opens={module}/{package}=ALL-UNNAMED")
    return lines + ["-Djava.security.manager=allow", "-javaagent:" + glob.glob(f"{JARS}/jamm-*.jar")[0]]


def configure():
    for name in ("conf", "log", "tmp"): (home / name).mkdir()
    period = "commitlog_sync_period_in_ms: 1000" if RUN == "nb-4.0" else "commitlog_sync_period: 1s"
    (home / "conf/cassandra.yaml").write_text(f"""cluster_name: fixtures
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider: [{{class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [{{seeds: "{ADDRESS}"}}]}}]
num_tokens: 1
listen_address: {ADDRESS}
rpc_address: {ADDRESS}
data_file_directories: ["{home}/data"]
commitlog_directory: {home}/commitlog
hints_directory: {home}/hints
saved_caches_directory: {home}/saved_caches
cdc_raw_directory: {home}/cdc_raw
commitlog_sync: periodic
{period}
auto_snapshot: false
# By default what Deflate and Zstd are too slow for is flushed with LZ4.
flush_compression: table
{MODES.get(RUN, "")}""")
    for name in ("logback.xml", "logback-tools.xml"): shutil.copy(SERVER / name, home / "conf")


def java(logback, *rest):
    return ["java", *options(), "-XX:TieredStopAtLevel=1", f"-Dcassandra.config=file://{home}/conf/cassandra.yaml", f"-Dlogback.configurationFile={home}/conf/{logback}",
            f"-Dcassandra.storagedir={home}", f"-Dcassandra.logdir={home}/log", f"-Djava.io.tmpdir={home}/tmp", *rest]


def tool(name, *arguments):
    done = subprocess.run(java("logback-tools.xml", "-Xmx192M", "-cp", f"{JARS}/*", f"org.apache.cassandra.tools.{name}", *arguments), capture_output=True, text=True)
    if done.returncode: sys.exit(f"{name} {arguments}: {done.stdout}{done.stderr}")
    return done.stdout


def nodetool(*arguments): return tool("NodeTool", "-h", "127.0.0.1", "-p", str(PORT), *arguments)


def client(program, *arguments):
    # The driver's log, which knows no vectors, goes to standard error.
    logback = f"-Dlogback.configurationFile={home}/conf/logback-tools.xml"
    done = subprocess.run(["java", logback, "-cp", f"{DRIVER}:{JARS}/*", str(HERE / program), *arguments], capture_output=True, text=True)
    if done.returncode: sys.exit(f"{program}: {done.stdout}")
    return done.stdout


def start():
    node = subprocess.Popen(java("logback.xml", "-Xmx384M", f"-Dcassandra.jmx.local.port={PORT}", "-Dcassandra.ring_delay_ms=1000", "-Dcassandra.skip_wait_for_gossip_to_settle=0",
                                 "-Dcassandra.superuser_setup_delay_ms=0", "-cp", f"{JARS}/*", "org.apache.cassandra.service.CassandraDaemon"),
                            cwd=home, stdin=subprocess.DEVNULL, stdout=open(home / "log/out", "w"), stderr=subprocess.STDOUT)
    log = home / "log/system.log"
    while not (log.exists() and "Startup complete" in log.read_text()):
        if node.poll() is not None: sys.exit(f"the node ended:\n{(home / 'log/out').read_text()[-3000:]}")
        time.sleep(0.5)
    return node


def collect():
    out = HERE.parent / RUN
    shutil.rmtree(out, ignore_errors=True)
    for data in sorted(glob.glob(f"{home}/data/fx/*/*-Data.db")):
        stem, table = data.removesuffix("-Data.db"), Path(data).parent.name.split("-")[0]
        (out / table).mkdir(parents=True, exist_ok=True)
        for component in COMPONENTS:
            if os.path.exists(f"{stem}-{component}"): shutil.copy(f"{stem}-{component}", out / table)
        if table != "tuples": (out / table / f"{Path(stem).name}.jsonl").write_text(tool("SSTableExport", data, "-t", "-l"))
    (out / "schema.tsv").write_text(client("DumpSchema.java", ADDRESS))


configure()
node = start()
try:
    subprocess.run([sys.executable, str(HERE / "tables.py"), RUN, str(home)], check=True)
    nodetool("disableautocompaction")
    print(client("RunCql.java", ADDRESS, str(home / "before.cql")), end="")
    nodetool("disableautocompaction", "fx")
    nodetool("flush", "fx")
    print(client("RunCql.java", ADDRESS, str(home / "after.cql")), end="")
    nodetool("flush", "fx")
    nodetool("compact", "fx", "compacted")
    collect()
finally:
    node.send_signal(signal.SIGKILL)
    node.wait()
shutil.rmtree(home)
