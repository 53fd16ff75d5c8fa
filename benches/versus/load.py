"""Load on a proxy that runs: what each scenario sends, and what it says about the answers.

wrk and h2load make the closed loops of S1 and S2. What they cannot do comes from `benches/load`: new connections, an open
loop, bodies, idle connections, WebSockets. A refused or broken request fails the measurement; it is never a figure.
"""

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import material
from processes import in_cores

HERE = Path(__file__).resolve().parent
MIB = 1 << 20
BODY = 100 * MIB


@dataclass
class Scenario:
    """`unit` is what the cost is divided by."""

    title: str
    run: object
    unit: str = "request"
    # Seconds of warm-up; none where the load has an end of its own.
    warm: int = 1


@dataclass
class Load:
    """How the load is made: with which program, where, and how much."""

    tool: Path
    cpus: set
    rate: int
    key_exchange: str


class Failed(Exception):
    """The load did not get the answers it asked for."""


def url(running):
    return f"https://{material.APP}:{running.port}/"


def output(command, cpus, seconds):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=seconds + 90,
                          preexec_fn=in_cores(cpus), check=False)
    return done.stdout + done.stderr


def last_json(said, who):
    lines = [line for line in said.splitlines() if line.startswith("{")]
    if not lines:
        raise Failed(f"{who}: {said[-400:]}")
    return json.loads(lines[-1])


def keep_alive(running, seconds, load):
    header = ["-H", f"Cookie: {running.cookie}"] if running.cookie else []
    said = output(["wrk", "-t1", "-c64", f"-d{seconds}s", "-s", HERE / "report.lua", *header, url(running)], load.cpus, seconds)
    found = last_json(said, "wrk")
    if found["requests"] == 0 or found["refused"] or found["broken"]:
        raise Failed(f"wrk: {found}")
    return {key: found[key] for key in ("requests", "seconds", "p50", "p99", "p999")}


def streams(running, seconds, load):
    header = ["-H", f"cookie: {running.cookie}"] if running.cookie else []
    with tempfile.NamedTemporaryFile(prefix="h2load-") as log:
        said = output(["h2load", "-t1", "-c10", "-m20", f"-D{seconds}", f"--log-file={log.name}", *header, url(running)],
                      load.cpus, seconds)
        # Start, status, microseconds; one line per request.
        took_us = sorted(int(line.split(b"\t")[2]) for line in log)
    counted = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", said)
    by_status = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
    protocol = re.search(r"Application protocol: (\S+)", said)
    took = re.search(r"finished in ([\d.]+)s", said)
    if not (counted and by_status and protocol and took) or protocol[1] != "h2":
        raise Failed(f"h2load: {said[-400:]}")
    if int(counted[1]) == 0 or any(int(by_status[n]) for n in (2, 3, 4)):
        raise Failed(f"h2load: {by_status[0]}")
    at = {name: took_us[int(len(took_us) * share)] for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))}
    return {"requests": int(counted[1]), "seconds": float(took[1]), **at}


def command(what, running, load, *more):
    return [load.tool, what, "--to", f"127.0.0.1:{running.port}", "--host", material.APP, "--cookie", running.cookie or "",
            "--key-exchange", load.key_exchange, *more]


def own(what, running, load, seconds, *more):
    """One run of `benches/load`."""
    found = last_json(output(command(what, running, load, *more), load.cpus, seconds), what)
    # A proxy may close a connection that it kept for the warm-up; more than that is a fault.
    if found.get("requests") == 0 or found["broken"] > found.get("requests", 0) * 0.01:
        raise Failed(f"{what}: {found}")
    return found


def handshakes(running, seconds, load, *more):
    found = own("handshakes", running, load, seconds, "--seconds", seconds, *more)
    return {**found, "note": f"{found['resumed'] / found['requests']:.0%} resumed"}


def resumed(running, seconds, load):
    return handshakes(running, seconds, load, "--resume")


def down(running, _seconds, load, *more):
    found = own("bulk", running, load, 120, "--bytes", BODY, *more)
    return {"requests": found["bytes"] / MIB, "entries": found["bytes"] // BODY, "seconds": found["seconds"],
            "p50": None, "p99": None, "p999": None}


def up(running, seconds, load):
    return down(running, seconds, load, "--upload")


def open_loop(running, seconds, load):
    return own("rate", running, load, seconds, "--seconds", seconds, "--rate", load.rate)


def websocket(running, seconds, load):
    found = own("websocket", running, load, seconds, "--seconds", seconds)
    return {**found, "entries": 64}


SCENARIOS = {
    "s1": Scenario("S1: HTTP/1.1 keep-alive over TLS 1.3, 1 KiB answers, 64 connections (wrk)", keep_alive),
    "s2": Scenario("S2: HTTP/2 over TLS 1.3, 1 KiB answers, 10 connections x 20 streams (h2load)", streams),
    "s3-full": Scenario("S3: a new TLS 1.3 connection for every request, full handshakes", handshakes),
    "s3-resumed": Scenario("S3: a new TLS 1.3 connection for every request, sessions resumed", resumed),
    "s4-down": Scenario("S4: 4 downloads of 100 MiB at once", down, "MiB", 0),
    "s4-up": Scenario("S4: 4 uploads of 100 MiB at once", up, "MiB", 0),
    "s5": Scenario("S5: {rate:,} requests/s whether or not answers come, 32 connections, latency from the intended time", open_loop),
    "s7": Scenario("S7: WebSocket messages of 64 bytes there and back, 64 connections", websocket, "round trip"),
}


class Held:
    """Idle TLS connections, each held open after one request."""

    def __init__(self, running, count, load):
        self.process = subprocess.Popen([str(part) for part in command("idle", running, load, "--connections", count)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=in_cores(load.cpus))
        said = self.process.stdout.readline()
        found = last_json(said, "idle")
        if found["broken"]:
            self.close()
            raise Failed(f"idle: {found}")

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
