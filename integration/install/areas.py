#!/usr/bin/env python3
"""Runs jobs of `make test`, a few at a time, and says at the end which area of the work took how many minutes.

Usage: areas.py [--lanes N] [--only "JOB..."] [--servers-only]

Jobs are the steps of `make test`: `setup-*`, `build`, `lint`, `unit`, `simulation`, `unit-mongodb`, `fuzz`,
`alerts`, and every module of the tests against servers, which has
loopback addresses of its own, so that several can run beside each other. The longest of the last run starts first. What a job prints
comes when it has ended. A job that fails fails the run at its end; what needs it is left out and named.

Minutes: while n jobs run, each of them is charged an nth of the time, so that all areas together are the time of the run. Areas, their
budgets and their jobs are read from the table under "Minutes" in docs/testing.md; what it does not name is in its last row.
TIDEMARK_CACHE and CARGO_TARGET_DIR are those of the Makefile.
"""

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.environ["TIDEMARK_CACHE"]
LAST = os.path.join(CACHE, "seconds.json")
SETUP = ["setup-cassandra", "setup-cassandra-4", "setup-stores", "setup-readers", "setup-prometheus", "setup-etcd", "setup-secantus", "setup-deny"]


class Job:
    """One step: a name, a command, and the names of the jobs that it needs."""

    def __init__(self, name, command, needs=(), directory=ROOT):
        self.name, self.command, self.needs, self.directory = name, command, set(needs), directory
        self.charged = self.wall = 0.0
        self.process = self.output = self.status = None

    def start(self):
        print(f"  {self.name} …", flush=True)
        self.output = tempfile.TemporaryFile(mode="w+b")
        self.began = time.monotonic()
        self.process = subprocess.Popen(self.command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT, start_new_session=True)

    def ended(self):
        """True once the process has ended; then what it printed is shown."""
        self.status = self.process.poll()
        if self.status is None:
            return False
        self.wall = time.monotonic() - self.began
        self.output.seek(0)
        print(f"==== {self.name}: {'failed' if self.status else 'passed'} after {self.wall:.0f} s", flush=True)
        sys.stdout.buffer.write(self.output.read())
        sys.stdout.flush()
        self.output.close()
        return True


def make(target, *needs):
    return Job(target, ["make", "--no-print-directory", target], needs)


def unit(name, part, *needs):
    """The tests without servers, or a part of them."""
    return Job(name, ["make", "--no-print-directory", "unit-built", f"PART={part}"], ["build", *needs])


def server_jobs(only):
    """A job for each module of the built tests against servers; all of them, or those of these names."""
    jobs = []
    with open(os.path.join(os.environ["CARGO_TARGET_DIR"], "tests-built")) as lines:
        for area, name, executable, directory in map(str.split, lines):
            if area == "server" and (not only or name in only):
                below = os.environ.get("ONLY", "")
                # `in_turn` is the test of a module whose parts share a cluster: it takes ONLY itself.
                command = [executable, f"{name}::{below}", f"{name}::in_turn", "--test-threads=1", "--nocapture"]
                jobs.append(Job(name, command, ["build", *SETUP], directory))
    return jobs


class Run:
    """Jobs that wait, run, and have ended."""

    def __init__(self, jobs, lanes):
        self.waiting, self.running, self.done, self.lanes = jobs, [], {}, lanes
        self.last = self.read_last()
        self.clock = time.monotonic()

    @staticmethod
    def read_last():
        try:
            with open(LAST) as file:
                return json.load(file)
        except (OSError, ValueError):
            return {}

    def charge(self):
        now = time.monotonic()
        for job in self.running:
            job.charged += (now - self.clock) / len(self.running)
        self.clock = now

    def ready(self):
        """Jobs that may start: what others need first, then the longest of the last run."""
        passed = {name for name, job in self.done.items() if job.status == 0}
        open_names = {job.name for job in self.waiting + self.running}
        ready = [job for job in self.waiting if not job.needs & open_names and job.needs <= passed | self.absent(job)]
        order = ["setup-rust", "build", *SETUP]
        rank = {name: place for place, name in enumerate(order)}
        return sorted(ready, key=lambda job: (rank.get(job.name, len(order)), -self.last.get(job.name, 90)))

    def absent(self, job):
        """Needs that are no part of this run."""
        return job.needs - {other.name for other in self.waiting + self.running} - set(self.done)

    def step(self):
        self.charge()
        for job in [job for job in self.running if job.ended()]:
            self.running.remove(job)
            self.done[job.name] = job
            if job.name == "build" and job.status == 0 and not self.only_setup:
                self.waiting.extend(server_jobs(self.servers))
        for job in self.ready():
            if len(self.running) >= self.lanes:
                break
            self.waiting.remove(job)
            self.running.append(job)
            job.start()

    def all(self, servers, only_setup):
        self.servers, self.only_setup = servers, only_setup
        while True:
            self.step()
            if not self.running:
                return
            time.sleep(0.2)

    def stop(self):
        for job in self.running:
            os.killpg(job.process.pid, signal.SIGTERM)


def areas():
    """Areas with their budgets in minutes and their jobs, as docs/testing.md has them."""
    with open(os.path.join(ROOT, "docs/testing.md")) as file:
        table = file.read().split("\n## Minutes\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| ([^|]*) \|", table, re.M)
    return [(name, int(budget), re.findall(r"`([\w-]+)`", jobs)) for name, budget, jobs in rows]


def report(run, began):
    known = areas()
    area_of = {job: name for name, _, jobs in known for job in jobs}
    minutes = dict.fromkeys([name for name, *_ in known], 0.0)
    for job in run.done.values():
        minutes[area_of.get(job.name, known[-1][0])] += job.charged / 60
    print("\nminutes by area, beside their budget from nothing (docs/testing.md):")
    for name, budget, _ in known:
        if minutes[name]:
            over = "  EXCEEDED" if minutes[name] > budget else ""
            print(f"{minutes[name]:6.1f} of {budget:3}  {name}{over}")
    print(f"{(time.monotonic() - began) / 60:6.1f}         in all, {run.lanes} at a time")
    slowest = sorted(run.done.values(), key=lambda job: -job.wall)
    print("jobs, in seconds: " + ", ".join(f"{job.name} {job.wall:.0f}" for job in slowest))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lanes", type=int, default=int(os.environ.get("LANES", "2")))
    parser.add_argument("--only", default="")
    parser.add_argument("--servers-only", action="store_true")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    only = asked.only.split()
    if asked.servers_only:
        jobs = server_jobs(only)
        missing = set(only) - {job.name for job in jobs}
        if missing:
            sys.exit(f"no module of the tests against servers is called {shlex.join(sorted(missing))}")
    else:
        jobs = [make(name) for name in SETUP] + [make("setup-rust"), make("setup-cxx"), make("build", "setup-rust")]
        jobs += [make("lint", "build", "setup-deny"), make("fuzz", "build", "setup-cxx"), make("alerts", "setup-prometheus"),
                 unit("unit", "rest", "setup-prometheus"), unit("simulation", "simulation"),
                 unit("unit-mongodb", "mongodb", "setup-secantus")]
    run, began = Run(jobs, asked.lanes), time.monotonic()
    try:
        run.all(only, asked.servers_only)
    finally:
        run.stop()
    report(run, began)
    with open(LAST, "w") as file:
        json.dump(run.last | {name: job.wall for name, job in run.done.items() if job.status == 0}, file)
    failed = sorted(job.name for job in run.done.values() if job.status)
    left = sorted(job.name for job in run.waiting)
    if failed or left:
        sys.exit(f"failed: {', '.join(failed)}" + (f"; left out: {', '.join(left)}" if left else ""))


main()
