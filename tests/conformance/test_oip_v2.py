"""The conformance tests pass a server that is right, and each of them sees a fault of its own."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from made_server import serving

from conformance import oip_v2
from conformance.oip_v2 import CHECKS, Server, run

SCRIPT = Path(oip_v2.__file__)
#: a fault of the server, and the checks that must see it; others may, too
FAULTS = {
    "not live": {"server-live"},
    "not ready": {"server-ready"},
    "model not ready": {"model-ready"},
    "any model": {"unknown-model-is-not-ready", "unknown-model-metadata", "unknown-model"},
    "health bodies": {"health-bodies"},
    "extensions is text": {"server-metadata"},
    "no slash": {"server-metadata-with-slash"},
    "no platform": {"model-metadata"},
    "unknown type in metadata": {"model-metadata-tensors"},
    "version of another name": {"version-metadata"},
    "version not ready": {"version-ready"},
    "newest version": {"version-infer"},
    "any version": {"unknown-version"},
    "another model_name": {"infer"},
    "text/plain": {"infer"},
    "first output alone": {"all-outputs"},
    "another datatype": {"output-tensors"},
    "shape as in metadata": {"output-tensors"},
    "flat alone": {"nested-data"},
    "no id": {"id-returned"},
    "all outputs always": {"requested-outputs"},
    "any output": {"unknown-output"},
    "one answer for all": {"batch"},
    "parameters refused": {"parameters"},
    "inputs optional": {"missing-inputs"},
    "more dimensions": {"wrong-shape"},
    "any shape": {"no-shape"},
    "any number of elements": {"wrong-number-of-elements"},
    "any datatype": {"unknown-datatype", "wrong-datatype"},
    "any known datatype": {"wrong-datatype"},
    "any element": {"elements-of-another-type"},
    "any JSON": {"malformed-json"},
    "GET infers": {"wrong-method"},
    "no Allow": {"wrong-method"},
    "error without JSON": {"malformed-json", "unknown-model", "unknown-model-metadata"},
    "empty error": {"malformed-json", "unknown-model", "unknown-model-metadata"},
    "unnamed binary": {"binary-is-named"},
    "big-endian": {"binary-input"},
    "binary always": {"binary-input", "infer"},
    "no length of the JSON": {"binary-outputs", "binary-data-output"},
    "binary as JSON": {"binary-outputs"},
    "a byte short": {"binary-outputs"},
    "no binary_data_output": {"binary-data-output"},
    "binary_data ignored": {"binary-data-overrides"},
    "any binary size": {"wrong-binary-size"},
    "any header length": {"wrong-header-length"},
    "500 for all errors": {"refusals-are-4xx"},
}


def outcomes(*faults):
    """Return what came of each check of a server with faults."""
    with serving(*faults) as url:
        return {each.name: each for each in run(Server(url, "toy"))}


def failures(*faults):
    return {name for name, each in outcomes(*faults).items() if each.outcome == "fail"}


def test_a_server_that_is_right_passes_everything():
    found = outcomes()
    assert len(found) == len(CHECKS) > 40
    assert {each.outcome for each in found.values()} == {"pass"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault):
    assert failures(fault) >= FAULTS[fault]


def test_each_check_sees_a_fault():
    assert set().union(*FAULTS.values()) == {each.name for each in CHECKS}


@pytest.mark.parametrize("fault", ["no slash", "no id", "flat alone", "newest version"])
def test_a_small_fault_fails_nothing_else(fault):
    assert failures(fault) == FAULTS[fault]


def test_what_is_optional_is_not_offered():
    found = outcomes("no versions", "no binary", "unnamed binary")
    counts = Counter(each.outcome for each in found.values())
    assert counts.keys() == {"pass", "not offered"}
    lacks = {name for name, each in found.items() if each.outcome == "not offered"}
    assert lacks >= {"version-metadata", "unknown-version", "binary-input", "wrong-binary-size"}


def test_every_clause_names_its_text():
    texts = ("OIP", "YAML", "V2", "BIN", "RFC 9110")
    for each in CHECKS:
        assert each.clause.startswith(texts), each.name
        assert each.about.endswith("."), each.name


@pytest.mark.parametrize("datatype", sorted(oip_v2.DATATYPES))
def test_tensors_of_every_datatype_are_the_same_after_packing(datatype):
    elements = oip_v2.values(datatype, 5)
    assert oip_v2.unpack(datatype, oip_v2.pack(datatype, elements)) == elements


def program(*arguments):
    """Run the one file as a user does, without this project."""
    command = [sys.executable, "-I", str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_table_and_the_exit_code():
    with serving() as url:
        ended = program(url, "--model", "toy")
    assert ended.returncode == 0
    assert "| server-live " in ended.stdout
    assert ended.stdout.rstrip().endswith("0 not offered")
    with serving("no id") as url:
        ended = program(url, "--model", "toy")
    assert ended.returncode == 1
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("| id-returned ")]
    assert "| fail " in line
    assert "id is None" in line


def test_what_should_be_but_need_not_is_no_failure_of_the_program():
    with serving("no slash") as url:
        ended = program(url, "--model", "toy", "--json", "--header", "Authorization: Bearer a")
    assert ended.returncode == 0
    found = json.loads(ended.stdout)
    assert json.loads(found["server"])["name"] == "made"
    assert len(found["results"]) == len(CHECKS)
    failed = [each["name"] for each in found["results"] if each["outcome"] == "fail"]
    assert failed == ["server-metadata-with-slash"]


def test_no_server_is_one_message():
    ended = program("http://127.0.0.1:9", "--model", "toy")
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: http://127.0.0.1:9: no answer to GET v2")


def test_an_unknown_model_fails_instead_of_ending():
    with serving() as url:
        assert program(url, "--model", "other").returncode == 1
