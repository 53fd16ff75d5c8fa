"""Load on a proxy that runs: what each scenario sends, and what it says about the answers."""

import json
import re
import socket
import ssl
import subprocess
from pathlib import Path

import material
from processes import in_cores

HERE = Path(__file__).resolve().parent
SCENARIOS = {
    "s1": "HTTP/1.1 keep-alive over TLS 1.3, 1 KiB answers, 64 connections (wrk)",
    "s2": "HTTP/2 over TLS 1.3, 1 KiB answers, 10 connections x 20 streams (h2load)",
}


class Failed(Exception):
    """The load did not get the answers it asked for."""


def generate(scenario, running, seconds, cpus):
    """Runs one scenario; gives requests, seconds and latencies in microseconds."""
    return {"s1": keep_alive, "s2": streams}[scenario](running, seconds, cpus)


def url(running):
    return f"https://{material.APP}:{running.port}/"


def output(command, cpus, seconds):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=seconds + 30,
                          preexec_fn=in_cores(cpus), check=False)
    return done.stdout + done.stderr


def keep_alive(running, seconds, cpus):
    header = ["-H", f"Cookie: {running.cookie}"] if running.cookie else []
    said = output(["wrk", "-t1", "-c64", f"-d{seconds}s", "-s", HERE / "report.lua", *header, url(running)], cpus, seconds)
    lines = [line for line in said.splitlines() if line.startswith("{")]
    if not lines:
        raise Failed(f"wrk: {said[-400:]}")
    found = json.loads(lines[-1])
    if found["requests"] == 0 or found["refused"] or found["broken"]:
        raise Failed(f"wrk: {found}")
    return {key: found[key] for key in ("requests", "seconds", "p50", "p99", "p999")}


def streams(running, seconds, cpus):
    header = ["-H", f"cookie: {running.cookie}"] if running.cookie else []
    said = output(["h2load", "-t1", "-c10", "-m20", f"-D{seconds}", *header, url(running)], cpus, seconds)
    counted = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", said)
    by_status = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
    protocol = re.search(r"Application protocol: (\S+)", said)
    took = re.search(r"finished in ([\d.]+)s", said)
    if not (counted and by_status and protocol and took) or protocol[1] != "h2":
        raise Failed(f"h2load: {said[-400:]}")
    if int(counted[1]) == 0 or any(int(by_status[n]) for n in (2, 3, 4)):
        raise Failed(f"h2load: {by_status[0]}")
    return {"requests": int(counted[1]), "seconds": float(took[1]), "p50": None, "p99": None, "p999": None}


class Held:
    """Idle TLS connections, each held open after one request."""

    def __init__(self, running, count, folder):
        context = ssl.create_default_context(cafile=folder / "cert.pem")
        cookie = f"Cookie: {running.cookie}\r\n" if running.cookie else ""
        request = f"GET / HTTP/1.1\r\nHost: {material.APP}:{running.port}\r\n{cookie}\r\n".encode()
        self.connections = []
        try:
            for _ in range(count):
                plain = socket.create_connection(("127.0.0.1", running.port), timeout=10)
                connection = context.wrap_socket(plain, server_hostname=material.APP)
                self.connections.append(connection)
                connection.sendall(request)
                read_answer(connection)
        except BaseException:
            self.close()
            raise

    def close(self):
        for connection in self.connections:
            connection.close()


def read_answer(connection):
    """Reads one answer whose length its head tells."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise Failed(f"the connection ended early: {data[:200]}")
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 200"):
        raise Failed(f"not served: {head[:200]}")
    length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)[1])
    while len(body) < length:
        piece = connection.recv(65536)
        if not piece:
            raise Failed("the body ended early")
        body += piece
