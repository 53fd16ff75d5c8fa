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
from dataclasses import dataclass
from pathlib import Path

import growth
import load
import peers
import portcullis
import tables
from processes import busy, cores, free_port

ROOT = Path(__file__).resolve().parents[2]
BASES = ("haproxy-full", "haproxy", "nginx")
# Work that a proxy puts off until after its answer counts too.
SETTLE = 0.3


@dataclass
class Site:
    """Where one proxy lives during the run."""

    folder: Path
    material: Path
    port: int
    operations: int
    backend: int
    cpus: set


def arguments():
    parser = argparse.ArgumentParser(prog="benches/versus/run", description=__doc__)
    parser.add_argument("--targets", default="nginx,haproxy,haproxy-full,portcullis", help="proxies, comma separated (default: %(default)s)")
    parser.add_argument("--scenarios", default="s1", help="comma separated out of: " + "; ".join(f"{k} = {v}" for k, v in load.SCENARIOS.items()))
    parser.add_argument("--rounds", type=int, default=4, help="rounds; each measures every proxy once (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=3, help="seconds of load per measurement, after one of warm-up (default: %(default)s)")
    parser.add_argument("--quiet", type=float, default=0.08, help="cores that strangers may use before a measurement is repeated (default: %(default)s)")
    parser.add_argument("--tries", type=int, default=3, help="measurements of one proxy and round, at most; the quietest counts (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=1000, help="idle TLS connections for the memory table; 0 leaves it out (default: %(default)s)")
    parser.add_argument("--no-growth", action="store_true", help="leave out start to ready and the check of large set-ups")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/portcullis", help="use this binary instead of building one")
    parser.add_argument("--json", type=Path, help="also write every single measurement here, as JSON")
    return parser.parse_args()


def chosen(options):
    known = {"nginx": peers.Nginx, "haproxy": lambda: peers.Haproxy(full=False), "haproxy-full": lambda: peers.Haproxy(full=True),
             "portcullis": lambda: portcullis.Portcullis(options.binary.resolve())}
    names = [name for name in options.targets.split(",") if name]
    unknown = [name for name in names if name not in known]
    if unknown or not set(options.scenarios.split(",")) <= set(load.SCENARIOS):
        sys.exit(f"unknown: {', '.join(unknown) or options.scenarios}; proxies are {', '.join(known)}")
    return [known[name]() for name in names]


def measure_once(proxy, site, scenario, backend, seconds):
    """One measurement of a proxy that is started for it."""
    load_cpus = cores()[1]
    running = proxy.start(site)
    try:
        warm = load.generate(scenario, running, 1, load_cpus)
        time.sleep(SETTLE)
        before, behind, strangers, begun = running.program.cpu(), sum(backend.cpu()), busy(), time.monotonic()
        found = load.generate(scenario, running, seconds, load_cpus)
        time.sleep(SETTLE)
        after, behind, everybody, wall = running.program.cpu(), sum(backend.cpu()) - behind, busy(), time.monotonic() - begun
    finally:
        running.stop()
    user, system = after[0] - before[0], after[1] - before[1]
    own = user + system + behind + everybody[1] - strangers[1]
    if running.written is not None:
        missing = warm["requests"] + found["requests"] - running.written()
        if missing > 0:
            raise load.Failed(f"{missing} answered requests are not in its log")
    requests = found.pop("requests")
    return {"requests": requests, "cpu_us": (user + system) / requests * 1e6, "user_us": user / requests * 1e6,
            "per_second": requests / found["seconds"], "busy": (user + system) / (wall - SETTLE),
            "backend_us": behind / requests * 1e6, "foreign": max(0.0, (everybody[0] - strangers[0] - own) / wall), **found}


def measure(proxy, site, scenario, backend, options):
    """Repeats a measurement that strangers disturbed; the quietest counts."""
    best = None
    for _ in range(max(1, options.tries)):
        found = measure_once(proxy, site, scenario, backend, options.seconds)
        if best is None or found["foreign"] < best["foreign"]:
            best = found
        if best["foreign"] <= options.quiet:
            break
    return best


def traffic(proxies, sites, backend, options, keep):
    for scenario in options.scenarios.split(","):
        measured = {proxy.name: [] for proxy in proxies}
        for round_number in range(options.rounds):
            for proxy in proxies:
                found = measure(proxy, sites[proxy.name], scenario, backend, options)
                measured[proxy.name].append(found)
                keep({"measure": scenario, "proxy": proxy.name, "round": round_number, **found})
                print(f"{scenario} round {round_number + 1} {proxy.name}: {found['cpu_us']:.1f} us", file=sys.stderr)
        print(f"\n### {load.SCENARIOS[scenario]}\n\n{tables.traffic(proxies, measured, BASES)}")


def quiet_figures(proxies, sites, options, keep):
    if options.connections > 0:
        measured = {proxy.name: growth.memory(proxy, sites[proxy.name], options.connections) for proxy in proxies}
        for name, found in measured.items():
            keep({"measure": "memory", "proxy": name, **found})
        print(f"\n### Memory\n\n{tables.memory(measured)}")
    ours = next((proxy for proxy in proxies if proxy.name == "portcullis"), None)
    if ours is None or options.no_growth:
        return
    site = sites[ours.name]
    found = growth.check(ours.binary, site, ((10, 10), (2000, 10), (2000, 10_000)), 3)
    print(f"\n### Check of large set-ups, a new process each time\n\n{tables.check(found)}")
    ready = growth.start_to_ready(ours, site, 5)
    keep({"measure": "ready", "seconds": ready, "check": found})
    print(f"\nStart to ready, one route, with the log of this run in place: {ready:.2f} s (median of 5)")


def main():
    options = arguments()
    proxies = chosen(options)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything started is ended
    kept = []
    folder = Path(tempfile.mkdtemp(prefix="versus-"))
    backend_port = free_port()
    proxy_cpus, load_cpus = cores()
    backend = None
    try:
        material_folder = growth.material_folder(folder / "material")
        sites = {}
        for proxy in proxies:
            place = folder / proxy.name
            place.mkdir(mode=0o700)
            sites[proxy.name] = Site(place, material_folder, free_port(), free_port(), backend_port, proxy_cpus)
        (folder / "backend").mkdir()
        backend = peers.start_backend(folder / "backend", backend_port, load_cpus)
        print(f"{datetime.datetime.now():%Y-%m-%d %H:%M}, {os.cpu_count()} cores, {options.rounds} rounds of {options.seconds} s; "
              f"proxy on core {min(proxy_cpus)}, load and backend on core {min(load_cpus)}")
        traffic(proxies, sites, backend, options, kept.append)
        quiet_figures(proxies, sites, options, kept.append)
        for proxy in proxies:
            if proxy.name == "portcullis":
                print("\nThe audit log of this run:", *proxy.verify(sites[proxy.name]), sep="\n    ")
    finally:
        if backend is not None:
            backend.stop()
        if options.json:
            options.json.write_text("".join(json.dumps(one) + "\n" for one in kept))
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
