"""The page of the serving benchmark says what was reached, and what was not."""

import json

import pytest

from bench import serving
from bench.serving import page
from bench.serving.load import Load
from bench.serving.setting import figures


def rate(server, kind, connections, value, **changes):
    row = {"part": "rates", "round": 0, "server": server, "kind": kind, "connections": connections}
    row |= {"rate": value, "p50_ms": 1.0, "p99_ms": 2.0, "least_share": 0.95, "busy": 0.1}
    row["statuses"] = {"200": 3, "429": 1}
    return row | changes


RATES = [
    rate("lookbook", "JSON", 16, 4000),
    rate("lookbook", "binary", 16, 5000),
    rate("MLServer", "JSON", 16, 1400),
    rate("FastAPI", "JSON", 16, 1700),
]
OVERLOAD = {
    "part": "overload",
    "images": 16,
    "seconds": 60,
    "capacity": 900,
    "at_capacity": {
        "offered": 900,
        "rate": 890,
        "p50_ms": 20,
        "p99_ms": 40,
        "p99_on_the_way_ms": 40,
        "late": 0,
        "statuses": {"200": 17800, "429": 200},
    },
    "beyond": {
        "offered": 2700,
        "rate": 880,
        "p50_ms": 30,
        "p99_ms": 60,
        "p99_on_the_way_ms": 60,
        "late": 0,
        "lost": 0,
        "statuses": {"200": 52800, "429": 109200},
    },
    "memory": [100_000_000, 100_100_000],
    "health_statuses": {"200": 120},
    "health_ms": 30,
}
IDENTITY = {
    "part": "identity",
    "n": 100_000,
    "differ": 0,
    "differ_from_model": 0,
    "refused_alone": 0,
    "lost": 0,
    "statuses": {"200": 100_000},
}
STOP = {
    "part": "stops",
    "lost_before": 0,
    "lost_after": 0,
    "exit_code": 0,
    "seconds": 0.4,
    "answers": 1000,
}
SWAPS = {
    "part": "swaps",
    "n": 2,
    "versions": {"1": 5, "2": 6},
    "lost": 0,
    "statuses": {"200": 11},
}
PHOTOGRAPHS = [
    {
        "part": "photographs",
        "kind": kind,
        "rate": 70,
        "alone": {"decode": 100, "read": 80, "predictor": 75},
    }
    for kind in ("without", "with segmentation")
]
LATENCY = {"part": "latency", "kind": "JSON", "added_ms": [0.5, 1.0]}
CLIENT = {"part": "clients", "name": "tritonclient", "works": True, "message": "12 ways"}
CHECK = {"name": "id-returned", "level": "must", "outcome": "pass", "message": ""}
CONFORMANCE = [
    {"part": "conformance", "server": "lookbook", "results": [CHECK]},
    {
        "part": "conformance",
        "server": "MLServer",
        "results": [CHECK | {"outcome": "fail", "message": "id is None | 3"}],
    },
]
ALL = [*CONFORMANCE, *RATES, OVERLOAD, IDENTITY, STOP, SWAPS, *PHOTOGRAPHS, LATENCY, CLIENT]


def written(*measurements):
    machine = {"processor": "a", "cores": 2, "system": "b"}
    conditions = {"started": "now", "machine": machine, "load_average": [0, 0, 0]}
    conditions |= {"commit": None, "clean": False, "versions": {"numpy": "2"}}
    entries = {"model": "recipe", "server_core": 0, "client_core": 1, "servers": {"a": "b"}}
    return {
        "name": "serving",
        "trial": False,
        "failures": [],
        "conditions": conditions,
        "entries": entries,
        "measurements": list(measurements),
    }


def goals(*measurements):
    lines = page.to_markdown(written(*measurements)).splitlines()
    rows = [line for line in lines if line.endswith(("| yes |", "| **no** |"))]
    return {line.split(" | ")[0].strip("| "): "yes" in line.split(" | ")[-1] for line in rows}


def test_all_parts_have_goals():
    found = goals(*ALL)
    assert len(found) == 2 + 1 + 5 + 1 + 2 + 1 + 3 + 1 + 1 + 1
    assert {*found.values()} == {True, False}
    assert [name for name, right in found.items() if not right] == [
        "binary, 16 connections: 3 times the better peer"
    ]


@pytest.mark.parametrize(
    ("measurement", "change", "goal"),
    [
        (RATES[0], {"rate": 3300}, "JSON, 16 connections: 2 times the better peer"),
        (RATES[0], {"least_share": 0.7}, "16 connections: none below 0.8"),
        (LATENCY, {"added_ms": [1.0, 3.5]}, "JSON, idle: at most 3 ms more"),
        (IDENTITY, {"differ": 1}, "100,000 interleaved requests"),
        (IDENTITY, {"differ_from_model": 1}, "100,000 interleaved requests"),
        (IDENTITY, {"statuses": {"200": 9, "429": 1}}, "100,000 interleaved requests"),
        (STOP, {"lost_before": 1}, "1 SIGTERMs under load"),
        (STOP, {"lost_after": 1}, "1 SIGTERMs under load"),
        (STOP, {"seconds": 31}, "the end within 30 s"),
        (SWAPS, {"lost": 1}, "2 versions taken"),
        (SWAPS, {"versions": {"1": 11}}, "2 versions taken"),
        (
            OVERLOAD,
            {"memory": [100, 106]},
            "three times capacity for 60 s, 16 images a request: memory",
        ),
        (
            OVERLOAD,
            {"capacity": 1000},
            "three times capacity for 60 s, 16 images a request: as many are sent",
        ),
        (
            OVERLOAD,
            {"health_statuses": {"None": 1}},
            "three times capacity for 60 s, 16 images a request: health",
        ),
        (PHOTOGRAPHS[1], {"rate": 60}, "photographs of 400 px, with segmentation"),
        (PHOTOGRAPHS[0], {"rate": 50}, "photographs of 400 px, without"),
        (CLIENT, {"works": False}, "tritonclient works"),
        (CONFORMANCE[0], {"results": CONFORMANCE[1]["results"]}, "all 1 conformance tests"),
    ],
)
def test_what_is_not_reached_is_said(measurement, change, goal):
    changed = [row | change if row is measurement else row for row in ALL]
    before, after = goals(*ALL), goals(*changed)
    lost = [name for name in before if before[name] and not after[name]]
    assert len(lost) == 1
    assert lost[0].startswith(goal)


def test_another_status_than_200_and_429_is_not_reached():
    beyond = OVERLOAD["beyond"] | {"statuses": {"200": 1, "503": 1}}
    found = goals(OVERLOAD | {"beyond": beyond})
    assert not found["three times capacity for 60 s, 16 images a request: 200 and 429 alone"]


def test_the_page_is_written_again_from_the_json_alone(tmp_path):
    path = tmp_path / "serving.json"
    path.write_text(json.dumps(written(*ALL)), encoding="utf-8")
    assert serving.redraw(path) == [tmp_path / "serving.md"]
    text = (tmp_path / "serving.md").read_text(encoding="utf-8")
    assert (
        "| lookbook | JSON | 16 | 4,000 | 4,000 to 4,000 | 1.00 | 2.00 | 0.95 | 25% | 10% |" in text
    )
    assert "- a: b" in text
    assert r"| MLServer | id-returned | must | fail | id is None \| 3 |" in text
    assert "lookbook: 1 of 1 checks pass." in text


def test_what_is_kept_of_a_load():
    load = Load(seconds=2.0, latencies=[0.001] * 99 + [0.1], answers=[40, 60, 50])
    load.statuses.update({200: 100, 429: 7})
    found = figures(load)
    assert found["rate"] == 50
    assert found["least_share"] == 0.8
    assert found["statuses"] == {"200": 100, "429": 7}
    assert found["p50_ms"] == pytest.approx(1)
