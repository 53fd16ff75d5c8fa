"""What grows: memory with idle connections, cost per request beside them, start to ready, and a check of a large set-up."""

import statistics
import subprocess
import time

import material
import portcullis
from load import Held, keep_alive


def memory(proxy, site, connections, load):
    """Idle memory, and what each idle TLS connection adds."""
    running = proxy.start(site)
    held = None
    try:
        time.sleep(1.0)
        rss, pss = running.memory()
        held = Held(running, connections, load)
        time.sleep(1.0)
        rss_held, pss_held = running.memory()
    finally:
        if held is not None:
            held.close()
        running.stop()
    return {"rss_kib": rss, "pss_kib": pss, "held_rss_kib": rss_held, "held_pss_kib": pss_held,
            "connections": connections, "kib_per_connection": (pss_held - pss) / connections}


def open_connections(proxy, site, sizes, seconds, load):
    """Processor time per request while so many TLS connections are open and idle, by their number."""
    running = proxy.start(site)
    found = []
    try:
        keep_alive(running, 1, load)
        for size in sizes:
            held = Held(running, size, load)
            try:
                before = running.cpu()
                requests = keep_alive(running, seconds, load)["requests"]
                spent = sum(running.cpu()) - sum(before)
            finally:
                held.close()
            found.append({"connections": size, "requests": requests, "cpu_us": spent / requests * 1e6})
    finally:
        running.stop()
    return found


def start_to_ready(proxy, site, times):
    """Seconds from the start of the process to its own word that it serves."""
    found = []
    for _ in range(times):
        running = proxy.start(site)
        found.append(running.ready)
        running.stop()
    return statistics.median(found)


def large_set_up(folder, site, routes, policies):
    """A configuration with this many routes and policies, the policies spread evenly over the routes."""
    folder.mkdir(mode=0o700)
    blocks = [f'[upstream.behind]\ntargets = ["http://127.0.0.1:{site.backend}"]\n']
    for number in range(routes):
        blocks.append(f'[route.app{number}]\nhost = "app{number}.example.com"\nupstream = "behind"\n'
                      f'labels = ["internal"]\nallow = ["group:team{number % 50}"]\n')
    portcullis.write_config(folder, site, "\n".join(blocks))
    per_file = 500
    for first in range(0, policies, per_file):
        text = "\n".join(rule(number, routes) for number in range(first, min(first + per_file, policies)))
        portcullis.private(folder / f"policies/{first // per_file:03}.cedar", text)


def rule(number, routes):
    """Every fifth forbids a path to all but leads, the others permit a path to a group."""
    route = number % routes
    subject = f"principal in Group::\"team{number % 53}\""
    if number % 5 == 4:
        return (f'@id("deny.{number}")\n@reason("Limited to leads.")\n'
                f'forbid (principal, action, resource == Route::"app{route}")\n'
                f'when {{ context.request.path like "/area{number}/*" }}\n'
                f'unless {{ principal in Group::"leads" }};\n')
    return (f'@id("allow.{number}")\npermit ({subject}, action in Action::"read", resource == Route::"app{route}")\n'
            f'when {{ context.request.path like "/reports{number}/*" }};\n')


def check(binary, site, sizes, times):
    """Seconds that `portcullis check` takes, in a new process each time, by (routes, policies)."""
    found = []
    for routes, policies in sizes:
        folder = site.folder.parent / f"large-{routes}-{policies}"
        large_set_up(folder, site, routes, policies)
        took = []
        for _ in range(times):
            begun = time.monotonic()
            done = subprocess.run([str(binary), "check"], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
            took.append(time.monotonic() - begun)
            if done.returncode != 0:
                raise RuntimeError(f"check ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
        found.append({"routes": routes, "policies": policies, "seconds": statistics.median(took)})
    return found


def material_folder(folder):
    folder.mkdir(mode=0o700)
    material.make(folder)
    return folder
