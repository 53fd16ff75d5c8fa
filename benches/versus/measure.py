#!/usr/bin/env python3
"""Measures Portcullis beside nginx and HAProxy: the same work, on one core, round by round. See benches/README.md."""

import argparse
import datetime
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import growth
import load
import peers
import portcullis
import tables
from processes import Program, busy, cores, free_port

ROOT = Path(__file__).resolve().parents[2]
BASES = ("haproxy-full", "haproxy", "nginx-auth", "nginx")
# Work that a proxy puts off until after its answer counts too.
SETTLE = 0.3
TARGETS = ("nginx", "haproxy", "nginx-auth", "haproxy-full", "portcullis", "portcullis-power")
MEMORY, TWO_CORES, OPEN, SETUP = "s6", "cores", "open", "setup"
# Connections that are open and idle while others make requests.
OPEN_SIZES = (10, 1_000, 10_000)
MEMORY_TITLE = "S6: memory, idle and with idle TLS connections"
TITLES = {**dict(sorted([(MEMORY, MEMORY_TITLE)] + [(name, one.title.format(rate=2000)) for name, one in load.SCENARIOS.items()])),
          TWO_CORES: "S1 with one worker and with two, everybody on all cores",
          OPEN: "S1 while other connections are open and idle",
          SETUP: "start to ready, and the check of large set-ups"}


@dataclass
class Site:
    """Where one proxy lives during the run."""

    folder: Path
    material: Path
    port: int
    operations: int
    backend: int
    cpus: set
    workers: int = 1


def arguments():
    parser = argparse.ArgumentParser(prog="benches/versus/run", description=__doc__)
    parser.add_argument("--targets", default=",".join(TARGETS), help="proxies, comma separated (default: %(default)s)")
    parser.add_argument("--scenarios", default=",".join(TITLES), help="comma separated, or s3 and s4 for both of theirs; all by default: "
                        + "; ".join(f"{name} = {title}" for name, title in TITLES.items()).replace("%", "%%"))
    parser.add_argument("--rounds", type=int, default=3, help="rounds; each measures every proxy once (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=3, help="seconds of load per measurement, after one of warm-up (default: %(default)s)")
    parser.add_argument("--quiet", type=float, default=0.08, help="cores that strangers may use before a measurement is repeated (default: %(default)s)")
    parser.add_argument("--tries", type=int, default=3, help="measurements of one proxy and round, at most; the quietest counts (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=2000, help="requests per second of S5 (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=5000, help="idle TLS connections of S6 (default: %(default)s)")
    parser.add_argument("--key-exchange", default="x25519", choices=("x25519", "p256", "x25519mlkem768"),
                        help="of S3 to S7; only x25519 and p256 are known to all peers (default: %(default)s)")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/portcullis", help="measure this binary instead of building one")
    parser.add_argument("--tool", type=Path, default=ROOT / "benches/load/target/release/load", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="also write every single measurement here, as JSON")
    return parser.parse_args()


def chosen(options):
    """The proxies and the scenarios that were asked for."""
    ours, tool = options.binary.resolve(), options.tool.resolve()
    known = {"nginx": lambda: peers.Nginx(False, tool), "nginx-auth": lambda: peers.Nginx(True, tool),
             "haproxy": lambda: peers.Haproxy(False), "haproxy-full": lambda: peers.Haproxy(True),
             "portcullis": lambda: portcullis.Portcullis(ours, "process"),
             "portcullis-power": lambda: portcullis.Portcullis(ours, "power"),
             "portcullis-unconfined": lambda: portcullis.Portcullis(ours, "process", portcullis.UNCONFINED)}
    names = [name for name in options.targets.split(",") if name]
    scenarios = [name for wanted in options.scenarios.split(",") for name in TITLES
                 if wanted == name or name.startswith(f"{wanted}-")]
    if not set(names) <= set(known) or not scenarios:
        sys.exit(f"unknown target or scenario; targets are {', '.join(known)}; scenarios are {', '.join(TITLES)}")
    return [known[name]() for name in names], scenarios


class Measurement:
    """One run: what is measured, with which load, and everything that was found."""

    def __init__(self, options, backend):
        self.options, self.backend = options, backend
        self.load = load.Load(options.tool.resolve(), cores()[1], options.rate, options.key_exchange)
        self.kept = []

    def once(self, proxy, site, scenario, how):
        """One measurement of a proxy that is started for it."""
        running = proxy.start(site)
        try:
            warm = scenario.run(running, scenario.warm, how) if scenario.warm else {"requests": 0}
            time.sleep(SETTLE)
            before, behind, strangers, begun = running.cpu(), sum(self.backend.cpu()), busy(), time.monotonic()
            found = scenario.run(running, self.options.seconds, how)
            time.sleep(SETTLE)
            after, behind, everybody, wall = running.cpu(), sum(self.backend.cpu()) - behind, busy(), time.monotonic() - begun
        finally:
            running.stop()
        entries = sum(one.pop("entries", one["requests"]) for one in (warm, found) if one["requests"])
        if running.written is not None and (missing := entries - running.written()) > 0:
            raise load.Failed(f"{missing} answered requests are not in its log")
        user, system = after[0] - before[0], after[1] - before[1]
        foreign = everybody[0] - strangers[0] - (user + system + behind + everybody[1] - strangers[1])
        requests = found.pop("requests")
        return {"requests": requests, "cpu_us": (user + system) / requests * 1e6, "user_us": user / requests * 1e6,
                "per_second": requests / found["seconds"], "busy": (user + system) / (wall - SETTLE),
                "backend_us": behind / requests * 1e6, "foreign": max(0.0, foreign / wall), **found}

    def quietest(self, proxy, site, scenario, how):
        """Repeats a measurement that strangers disturbed; the quietest counts."""
        best = None
        for _ in range(max(1, self.options.tries)):
            found = self.once(proxy, site, scenario, how)
            if best is None or found["foreign"] < best["foreign"]:
                best = found
            if best["foreign"] <= self.options.quiet:
                break
        return best

    def rounds(self, name, scenario, rows, how):
        """`rows` are (label, proxy, site); every round measures each once. A proxy that cannot do it is left out, and told."""
        measured, broken = {label: [] for label, _, _ in rows}, {}
        for number in range(self.options.rounds):
            for label, proxy, site in rows:
                if label in broken:
                    continue
                try:
                    found = self.quietest(proxy, site, scenario, how)
                except (load.Failed, RuntimeError) as error:
                    broken[label] = str(error)
                    print(f"{name} {label}: {error}", file=sys.stderr)
                    continue
                measured[label].append(found)
                self.kept.append({"measure": name, "proxy": label, "round": number, **found})
                print(f"{name} round {number + 1} {label}: {found['cpu_us']:.1f} us", file=sys.stderr)
        return measured, broken

    def traffic(self, name, proxies, sites):
        scenario = load.SCENARIOS[name]
        rows = [(proxy.name, proxy, sites[proxy.name]) for proxy in proxies]
        measured, broken = self.rounds(name, scenario, rows, self.load)
        jobs = {proxy.name: proxy.job for proxy in proxies}
        print(f"\n### {scenario.title.format(rate=self.options.rate)}\n\n{tables.traffic(jobs, measured, BASES, scenario.unit)}")
        self.tell_broken(broken)

    def two_cores(self, proxies, sites):
        """Nobody is pinned: with two workers, the proxy shares its second core with the load, so only its cost compares."""
        everywhere = set().union(*cores())
        rows = [(f"{proxy.name}, {workers} worker{'s' * (workers > 1)}", proxy,
                 replace(sites[proxy.name], cpus=everywhere, workers=workers))
                for proxy in proxies for workers in (1, 2)]
        measured, broken = self.rounds(TWO_CORES, load.SCENARIOS["s1"], rows, replace(self.load, cpus=everywhere))
        print(f"\n### {TITLES[TWO_CORES]}\n\n{tables.workers(measured)}")
        self.tell_broken(broken)

    def memory(self, proxies, sites):
        measured = {proxy.name: growth.memory(proxy, sites[proxy.name], self.options.connections, self.load) for proxy in proxies}
        self.kept += [{"measure": MEMORY, "proxy": name, **found} for name, found in measured.items()]
        print(f"\n### {TITLES[MEMORY]}\n\n{tables.memory(measured)}")

    def open_connections(self, proxies, sites):
        """The same load beside more and more connections that do nothing."""
        measured = {}
        for proxy in proxies:
            measured[proxy.name] = growth.open_connections(proxy, sites[proxy.name], OPEN_SIZES, self.options.seconds, self.load)
            self.kept += [{"measure": OPEN, "proxy": proxy.name, **found} for found in measured[proxy.name]]
        print(f"\n### {TITLES[OPEN]}\n\n{tables.open_connections(measured)}")

    def set_up(self, proxies, sites):
        ours = next((proxy for proxy in proxies if proxy.name == "portcullis"), None)
        if ours is None:
            return
        found = growth.check(ours.binary, sites[ours.name], ((10, 10), (2000, 10), (2000, 10_000)), 3)
        print(f"\n### Check of large set-ups, a new process each time\n\n{tables.check(found)}")
        ready = growth.start_to_ready(ours, sites[ours.name], 5)
        self.kept.append({"measure": SETUP, "seconds": ready, "check": found})
        print(f"\nStart to ready, one route, with the log of this run in place: {ready:.2f} s (median of 5)")

    @staticmethod
    def tell_broken(broken):
        for label, why in broken.items():
            print(f"\n{label} could not be measured: {why.splitlines()[0]}")


def sites_for(proxies, folder, backend_port):
    material_folder = growth.material_folder(folder / "material")
    sites = {}
    for proxy in proxies:
        place = folder / proxy.name
        place.mkdir(mode=0o700)
        sites[proxy.name] = Site(place, material_folder, free_port(), free_port(), backend_port, cores()[0])
    return sites


def measure_all(measurement, proxies, scenarios, sites):
    special = {MEMORY: measurement.memory, TWO_CORES: measurement.two_cores, OPEN: measurement.open_connections,
               SETUP: measurement.set_up}
    for name in scenarios:
        if name in special:
            special[name](proxies, sites)
        else:
            measurement.traffic(name, proxies, sites)
        sys.stdout.flush()
    for proxy in proxies:
        if isinstance(proxy, portcullis.Portcullis) and proxy.cookie:
            print(f"\nThe audit log of {proxy.name} in this run:", *proxy.verify(sites[proxy.name]), sep="\n    ")


def main():
    options = arguments()
    proxies, scenarios = chosen(options)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything started is ended
    folder = Path(tempfile.mkdtemp(prefix="versus-"))
    backend_port = free_port()
    proxy_cpus, load_cpus = cores()
    measurement = None
    backend = None
    try:
        sites = sites_for(proxies, folder, backend_port)
        backend = Program([options.tool.resolve(), "backend", "--listen", f"127.0.0.1:{backend_port}"], load_cpus,
                          folder / "backend.log")
        backend.wait_for_port(backend_port)
        measurement = Measurement(options, backend)
        print(f"{datetime.datetime.now():%Y-%m-%d %H:%M}, {os.cpu_count()} cores, {options.rounds} rounds of {options.seconds} s; "
              f"proxy on core {min(proxy_cpus)}, load and backend on core {min(load_cpus)}")
        measure_all(measurement, proxies, scenarios, sites)
    finally:
        if backend is not None:
            backend.stop()
        if options.json and measurement is not None:
            options.json.write_text("".join(json.dumps(one) + "\n" for one in measurement.kept))
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
