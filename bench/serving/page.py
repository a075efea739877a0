"""The page of the benchmark: what was to be reached, and the tables behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.harness.conditions import condition_lines, version_line
from bench.harness.page import markdown, table

if TYPE_CHECKING:
    from bench.harness.record import Results

Rows = list[dict[str, Any]]
#: what is to be reached, what was measured, and whether that is enough
Goal = tuple[str, str, bool]


def to_markdown(results: Results) -> str:
    """Write goals and tables of the parts that were measured, then the conditions."""
    parts: dict[str, Rows] = {}
    for one in results["measurements"]:
        parts.setdefault(one["part"], []).append(one)
    goals = [goal for name, rows in parts.items() for goal in GOALS[name](rows)]
    body = table(
        ("what is to be reached", "measured", "reached"),
        [[what, measured, "yes" if right else "**no**"] for what, measured, right in goals],
        left=2,
    )
    if "rates" in parts:
        body += ["", "## Requests a second", "", *rate_table(parts["rates"])]
    if "overload" in parts:
        body += ["", "## Overload", "", *overload_table(parts["overload"])]
    if "conformance" in parts:
        body += ["", "## Conformance", "", *conformance_table(parts["conformance"])]
    entries = results["entries"]
    cores = f"server on core {entries['server_core']}, clients on core {entries['client_core']}"
    conditions = [
        *condition_lines(results),
        f"Model: {entries['model']}; {cores}",
        f"Versions: {version_line(results['conditions']['versions'])}",
        *(f"{name}: {about}" for name, about in entries["servers"].items()),
    ]
    return markdown(results, "Serving", body, conditions)


def middle(rows: Iterable[dict[str, Any]], name: str) -> float:
    """Return the median of a figure over rounds."""
    return float(median(row[name] for row in rows))


def choose(rows: Rows, **wanted: Any) -> Rows:
    """Return the rows that have these values."""
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


# ---- goals ----


def _rate_goals(rows: Rows) -> list[Goal]:
    at_16 = choose(rows, connections=16)
    peers = [
        middle(choose(at_16, server=name), "rate")
        for name in {row["server"] for row in at_16} - {"lookbook"}
    ]
    ours = {kind: choose(at_16, server="lookbook", kind=kind) for kind in ("JSON", "binary")}
    if not peers or not all(ours.values()):
        return []
    goals = []
    for kind, least in (("JSON", 2), ("binary", 3)):
        times = middle(ours[kind], "rate") / max(peers)
        what = f"{kind}, 16 connections: {least} times the better peer"
        goals.append((what, f"{times:.2f}", times >= least))
    shares = [row for rows in ours.values() for row in rows]
    share = min(row["least_share"] for row in shares)
    what = "16 connections: none below 0.8 of the median"
    return [*goals, (what, f"{share:.2f}", share >= 0.8)]


def _latency_goals(rows: Rows) -> list[Goal]:
    return [
        (
            f"{kind}, idle: at most 3 ms more than `Model.predict` at p99",
            f"{(p99 := median(row['added_ms'][1] for row in choose(rows, kind=kind))):.2f} ms",
            p99 <= 3,
        )
        for kind in sorted({row["kind"] for row in rows})
    ]


#: photographs: of which rate, reached without a server, the server's is to be so much
_ALONE = (
    ("without", "decode", 0.6),
    ("without", "read", 0.6),
    ("with segmentation", "predictor", 0.9),
)
_WHAT = {
    "decode": "decoding alone (Pillow, all pixels)",
    "read": "reading alone (decoded, brought to the model's size)",
    "predictor": "the `Predictor` alone",
}


def _photograph_goals(rows: Rows) -> list[Goal]:
    goals = []
    for kind, alone, least in _ALONE:
        share = median(row["rate"] / row["alone"][alone] for row in choose(rows, kind=kind))
        rate = middle(choose(rows, kind=kind), "rate")
        what = _WHAT[alone]
        goals.append(
            (
                f"photographs of 400 px, {kind}: {least:.0%} of {what}",
                f"{share:.0%}, {rate:.0f} a second",
                share >= least,
            )
        )
    return goals


def _identity_goals(rows: Rows) -> list[Goal]:
    (one,) = rows
    right = one["differ"] == one["differ_from_model"] == one["refused_alone"] == one["lost"] == 0
    return [
        (
            f"{one['n']:,} interleaved requests: the bits of the answers alone",
            f"{one['differ']} differ; alone, {one['differ_from_model']} from `Model.predict`",
            right and set(one["statuses"]) == {"200"},
        )
    ]


def _overload_goals(rows: Rows) -> list[Goal]:
    goals = []
    for row in rows:
        # who finds no free connection has sent nothing: `late` says how many these were
        times = row["beyond"]["p99_on_the_way_ms"] / row["at_capacity"]["p99_on_the_way_ms"]
        before, after = row["memory"]
        right = set(row["beyond"]["statuses"]) <= {"200", "429"} and not row["beyond"]["lost"]
        what = f"three times capacity for {row['seconds']:.0f} s, {row['images']} images a request"
        health = set(row["health_statuses"]) == {"200"}
        sent = _sent(row["beyond"]) / row["capacity"]
        goals += [
            (f"{what}: as many are sent", f"{sent:.2f} times", sent >= 0.95 * 3),
            (f"{what}: 200 and 429 alone", str(row["beyond"]["statuses"]), right),
            (f"{what}: p99 of accepted at most 2 times", f"{times:.2f}", times <= 2),
            (f"{what}: memory flat", f"{(after - before) / 1e6:+.1f} MB", after < 1.05 * before),
            (f"{what}: health and metrics answer", f"at most {row['health_ms']:.0f} ms", health),
        ]
    return goals


def _stop_goals(rows: Rows) -> list[Goal]:
    before, after = (sum(row[name] for row in rows) for name in ("lost_before", "lost_after"))
    codes = {row["exit_code"] for row in rows}
    longest, answers = max(row["seconds"] for row in rows), sum(row["answers"] for row in rows)
    in_time = longest < 30 and codes == {0}
    return [
        (
            f"{len(rows)} SIGTERMs under load: no request without its answer",
            f"{before} sent before, {after} after it; {answers:,} answers",
            before == after == 0,
        ),
        ("the end within 30 s, exit code 0", f"{longest:.1f} s, {codes}", in_time),
    ]


def _swap_goals(rows: Rows) -> list[Goal]:
    (one,) = rows
    right = set(one["statuses"]) == {"200"} and not one["lost"] and len(one["versions"]) == one["n"]
    text = f"{len(one['versions'])} answered, {one['lost']} lost, {one['statuses']}"
    return [(f"{one['n']} versions taken under load, no request lost", text, right)]


def _client_goals(rows: Rows) -> list[Goal]:
    return [(f"{row['name']} works", row["message"], row["works"]) for row in rows]


def _conformance_goals(rows: Rows) -> list[Goal]:
    goals = []
    for row in choose(rows, server="lookbook"):
        wrong = [one["name"] for one in row["results"] if one["outcome"] != "pass"]
        what = f"all {len(row['results'])} conformance tests of the protocol"
        goals.append((what, ", ".join(wrong) or "all pass", not wrong))
    return goals


GOALS: dict[str, Callable[[Rows], list[Goal]]] = {
    "rates": _rate_goals,
    "latency": _latency_goals,
    "photographs": _photograph_goals,
    "identity": _identity_goals,
    "overload": _overload_goals,
    "stops": _stop_goals,
    "swaps": _swap_goals,
    "clients": _client_goals,
    "conformance": _conformance_goals,
}


# ---- tables ----


def rate_table(rows: Rows) -> list[str]:
    """Return a row for each server, kind of request and number of connections."""
    known = dict.fromkeys((row["server"], row["kind"], row["connections"]) for row in rows)
    lines = []
    for server, kind, n in sorted(known, key=lambda each: (each[2], each[1], each[0])):
        found = choose(rows, server=server, kind=kind, connections=n)
        rates = [row["rate"] for row in found]
        lines.append(
            [
                server,
                kind,
                str(n),
                f"{median(rates):,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                f"{middle(found, 'p50_ms'):.2f}",
                f"{middle(found, 'p99_ms'):.2f}",
                f"{middle(found, 'least_share'):.2f}",
                f"{median(_refused(row) for row in found):.0%}",
                f"{middle(found, 'busy'):.0%}",
            ]
        )
    heads = ("server", "requests", "connections", "a second", "in rounds", "p50, ms", "p99, ms")
    return table((*heads, "least connection", "refused", "clients busy"), lines, left=2)


def _refused(row: dict[str, Any]) -> float:
    """Return the share of requests that got another answer than 200."""
    statuses = row["statuses"]
    return 1 - float(statuses.get("200", 0) / max(1, sum(statuses.values())))


def _sent(load: dict[str, Any]) -> float:
    """Return how many requests a second were sent, of those that got an answer.

    A request that is due waits for a free connection: a server that is slow to refuse gets fewer.
    """
    statuses = load["statuses"]
    return float(load["rate"] * sum(statuses.values()) / statuses["200"])


def overload_table(rows: Rows) -> list[str]:
    """Return a row for each load, at capacity and beyond."""
    lines = [
        [
            str(row["images"]),
            f"{load['offered']:,.0f}",
            f"{_sent(load):,.0f}",
            f"{load['rate']:,.0f}",
            f"{_refused(load):.0%}",
            f"{load['p50_ms']:.1f}",
            f"{load['p99_ms']:.1f}",
            f"{load['p99_on_the_way_ms']:.1f}",
            f"{load['late']:,}",
        ]
        for row in rows
        for load in (row["at_capacity"], row["beyond"])
    ]
    heads = (
        "images a request",
        "due a second",
        "sent",
        "answered",
        "refused",
        "p50, ms",
        "p99, ms",
    )
    more = ("p99 from sending, ms", "most that waited for a connection")
    return table((*heads, *more), lines, left=0)


def conformance_table(rows: Rows) -> list[str]:
    """Return a row for each check that a server fails or does not offer, and what was seen."""
    lines = [
        [row["server"], one["name"], one["level"], one["outcome"], one["message"]]
        for row in rows
        for one in row["results"]
        if one["outcome"] != "pass"
    ]
    lines = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    counts = [
        f"{row['server']}: {sum(one['outcome'] == 'pass' for one in row['results'])} of "
        f"{len(row['results'])} checks pass."
        for row in rows
    ]
    heads = ("server", "check", "level", "result", "what was seen")
    return [*counts, "", *table(heads, lines, left=5)]
