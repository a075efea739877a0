"""Environment of a figure: what is said of versions, source and machine is so."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors
import torch

import lookbook
from lookbook.core import environment
from lookbook.core.environment import Environment, Machine, processor, usable_cores, versions


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such masks")
def test_cores_that_this_process_may_not_use_do_not_count():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert usable_cores() == len(allowed)


@pytest.mark.parametrize(("counted", "expected"), [(12, 12), (None, 1)])
def test_where_the_system_has_no_masks_all_cores_count(monkeypatch, counted, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert usable_cores() == expected


def test_versions_are_those_that_the_packages_say_of_themselves():
    found = versions()
    assert len(found.pop("source_sha256")) == 64
    assert found == {
        "python": platform.python_version(),
        "lookbook": lookbook.__version__,
        **{
            package.__name__: package.__version__
            for package in (torch, np, onnx, onnxruntime, safetensors)
        },
    }


def test_the_hash_is_that_of_all_modules_and_of_their_places(monkeypatch, tmp_path):
    package = tmp_path / "lookbook"
    (package / "core").mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(package / "core" / "environment.py"))
    (package / "__init__.py").write_bytes(b"one = 1\n")
    (package / "core" / "a.py").write_bytes(b"two = 2\r\n")
    (package / "page.html").write_bytes(b"no module")
    expected = hashlib.sha256(b"__init__.py" + b"one = 1\n" + b"core/a.py" + b"two = 2\r\n")
    assert versions()["source_sha256"] == expected.hexdigest()
    (package / "core" / "a.py").rename(package / "core" / "b.py")
    assert versions()["source_sha256"] != expected.hexdigest()


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor\t: 0\nmodel name\t: A chip: 4 GHz\n\nmodel name\t: Another\n", "A chip: 4 GHz"),
        ("processor\t: 0\nBogoMIPS\t: 50.0\n", "arm"),  # as ARM writes it
        (None, "arm"),  # as on a Mac
    ],
)
def test_a_processor_is_called_by_its_name(monkeypatch, tmp_path, cpuinfo, expected):
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(environment, "Path", lambda _: tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    assert processor() == expected


@pytest.mark.skipif(
    shutil.which("lscpu") is None or platform.machine() != "x86_64", reason="asks lscpu"
)
def test_this_processor_is_the_one_that_the_system_tells_of():
    shown = subprocess.run(["lscpu", "--json"], capture_output=True, text=True, check=True).stdout
    fields = json.dumps(json.loads(shown))
    assert json.dumps(processor()) in fields


def test_a_machine_is_written_and_read_as_it_is():
    here = Environment.here("H200")
    assert here.to_json() == {
        "machine": {
            "processor": processor(),
            "cores": usable_cores(),
            "accelerator": "H200",
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": versions(),
    }
    assert here.machine == Machine.here("H200") != Machine.here(None)
