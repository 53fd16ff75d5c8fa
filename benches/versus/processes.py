"""Starts programs on chosen cores, counts what they cost, and ends exactly those that were started.

A program and everything it starts share one session (setsid), so the kernel's own accounting says what the whole of it
used. Nothing is ever ended by name.
"""

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def cores():
    """Cores for the proxy and cores for load generator and backend."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        return set(usable), set(usable)
    return {usable[0]}, {usable[1]}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def in_cores(cpus):
    return lambda: os.sched_setaffinity(0, cpus)


class Program:
    """One program with a session of its own, its output in a file."""

    def __init__(self, command, cpus, log, folder=None):
        def prepare():
            os.setsid()
            os.sched_setaffinity(0, cpus)

        with open(log, "wb") as output:
            self.process = subprocess.Popen([str(part) for part in command], cwd=folder, stdin=subprocess.DEVNULL,
                                            stdout=output, stderr=subprocess.STDOUT, preexec_fn=prepare)
        self.log = Path(log)
        self.session = self.process.pid

    def members(self):
        """(pid, ticks in user mode, ticks in the kernel) of every process of the session."""
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == self.session:
                found.append((int(name), int(fields[11]), int(fields[12])))
        return found

    def cpu(self):
        """User and kernel seconds so far."""
        members = self.members()
        return sum(m[1] for m in members) / TICK, sum(m[2] for m in members) / TICK

    def memory(self):
        """Resident and proportional KiB (RSS, PSS)."""
        rss = pss = 0
        for pid, _, _ in self.members():
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            rss += sum(map(int, re.findall(r"^Rss:\s+(\d+)", text, re.M)))
            pss += sum(map(int, re.findall(r"^Pss:\s+(\d+)", text, re.M)))
        return rss, pss

    def said(self):
        return self.log.read_text(errors="replace")

    def wait_for_port(self, port, seconds=15.0):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            with socket.socket() as probe:
                probe.settimeout(0.3)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"nothing listens on port {port}:\n{self.said()[-2000:]}")

    def wait_for_line(self, wanted, seconds=30.0):
        """Waits until the output holds `wanted`; gives the seconds that took."""
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            if wanted in self.said():
                return time.monotonic() - begun
            if self.process.poll() is not None:
                break
            time.sleep(0.002)
        raise RuntimeError(f"the program never said {wanted!r}:\n{self.said()[-2000:]}")

    def stop(self):
        """Asks every process of the session to end, and insists after ten seconds."""
        for sign, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 3.0)):
            for pid, _, _ in self.members():
                try:
                    os.kill(pid, sign)
                except ProcessLookupError:
                    pass
            end = time.monotonic() + patience
            while time.monotonic() < end:
                self.process.poll()
                if not self.members():
                    return
                time.sleep(0.02)


def busy():
    """Busy seconds of the whole machine, and of this driver with the children it has waited for."""
    ticks = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    times = os.times()
    return ((sum(ticks[:3]) + sum(ticks[5:8])) / TICK,
            times.user + times.system + times.children_user + times.children_system)
