"""Medians over the rounds, as Markdown tables."""

import statistics


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def number(value, digits=1):
    return "-" if value is None else f"{value:,.{digits}f}"


def text(rows):
    """Rows of cells, the first being the head; the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for index, row in enumerate(rows):
        cells = (cell.ljust(width) if column == 0 else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(row, widths)))
        lines.append("| " + " | ".join(cells) + " |")
        if index == 0:
            lines.append("|" + "|".join("-" * (width + 1) + ("-" if column == 0 else ":")
                                        for column, width in enumerate(widths)) + "|")
    return "\n".join(lines)


def traffic(jobs, measured, bases, unit):
    """One row per proxy: cost, throughput, latency, and cost against each base."""
    cost = {name: median([m["cpu_us"] for m in rounds]) for name, rounds in measured.items() if rounds}
    rows = [["proxy", "job", f"CPU-us/{unit}", "spread", "user-us", f"{unit}/s" if unit == "MiB" else f"{unit}s/s", "busy", "foreign", "p50 us", "p99 us",
             "p99.9 us", *(f"vs {base}" for base in bases), "rounds", "note"]]
    for name, job in jobs.items():
        rounds = measured.get(name)
        if not rounds:
            continue
        of = medians(rounds)
        rows.append([name, job, *costs(rounds), number(of["per_second"], 0), number(of["busy"], 2), number(of["foreign"], 2),
                     *(number(of[key], 0) for key in ("p50", "p99", "p999")),
                     *(number(cost[name] / cost[base], 2) if base in cost else "-" for base in bases),
                     str(len(rounds)), rounds[-1].get("note", "")])
    return text(rows)


def medians(rounds):
    return {key: median([m[key] for m in rounds])
            for key in ("cpu_us", "user_us", "per_second", "busy", "foreign", "p50", "p99", "p999")}


def costs(rounds):
    """Cells of cost, its spread over the rounds, and the part in user mode."""
    of, spent = medians(rounds), [m["cpu_us"] for m in rounds]
    return number(of["cpu_us"]), f"{number(min(spent))}-{number(max(spent))}", number(of["user_us"])


def workers(measured):
    """One row per proxy and number of workers; the last column compares with the row of one worker before it."""
    rows = [["proxy", "CPU-us/request", "spread", "user-us", "requests/s", "busy", "foreign", "p99 us", "vs one worker"]]
    alone = None
    for name, rounds in measured.items():
        if not rounds:
            continue
        of = medians(rounds)
        if name.endswith(", 1 worker"):
            alone = of["cpu_us"]
        rows.append([name, *costs(rounds), number(of["per_second"], 0), number(of["busy"], 2), number(of["foreign"], 2),
                     number(of["p99"], 0), number(of["cpu_us"] / alone, 2) if alone else "-"])
    return text(rows)


def open_connections(measured):
    """One row per proxy and number of connections; the last column compares with the proxy's fewest."""
    rows = [["proxy", "open and idle", "CPU-us/request", "vs the fewest"]]
    for name, sizes in measured.items():
        fewest = sizes[0]["cpu_us"]
        rows += [[name, f"{found['connections']:,}", number(found["cpu_us"]), number(found["cpu_us"] / fewest, 2)] for found in sizes]
    return text(rows)


def memory(measured):
    rows = [["proxy", "idle RSS MiB", "idle PSS MiB", "connections", "PSS with them MiB", "KiB per connection"]]
    for name, found in measured.items():
        rows.append([name, number(found["rss_kib"] / 1024), number(found["pss_kib"] / 1024), str(found["connections"]),
                     number(found["held_pss_kib"] / 1024), number(found["kib_per_connection"])])
    return text(rows)


def check(measured):
    rows = [["routes", "policies", "portcullis check, s"]]
    rows += [[str(found["routes"]), str(found["policies"]), number(found["seconds"], 2)] for found in measured]
    return text(rows)
