"""What stands in `deploy/` holds: packages that a server needs, and no others' unit or image."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

DEPLOY = Path(__file__).parents[1] / "deploy"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_image_has_what_a_server_imports_and_no_torch():
    """Every module of a server is imported; what it takes of our dependencies must be listed."""
    program = (
        "import importlib, importlib.metadata as m, pkgutil, sys\n"
        "import lookbook.serving, lookbook.images.workers, lookbook.cli.main\n"
        "import lookbook.exports.web_demo, lookbook.inference.graphs.limits, scipy.ndimage\n"
        "for each in pkgutil.walk_packages(lookbook.serving.__path__, 'lookbook.serving.'):\n"
        "    importlib.import_module(each.name)\n"
        "owners = m.packages_distributions()\n"
        "print(*{d for name in sys.modules for d in owners.get(name.split('.')[0], [])})\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    imported = {canonical(name) for name in ended.stdout.split()}
    ours = {
        canonical(re.match(r"[\w.-]+", each)[0])
        for each in requires("lookbook")
        if "extra" not in each or "extra == 'serve'" in each
    }
    assert imported & ours <= listed()
    assert not {"torch", "scikit-learn", "matplotlib"} & (imported | listed())


def listed() -> set[str]:
    lines = (DEPLOY / "requirements.txt").read_text("utf-8").splitlines()
    return {canonical(line) for line in lines if not line.startswith("#")}


def test_the_unit_is_one_and_its_command_is_that_of_this_program():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read_string((DEPLOY / "lookbook.service").read_text("utf-8"))
    assert unit["Service"]["ExecStart"].split()[1] == "serve"
    assert int(unit["Service"]["TimeoutStopSec"]) > 30
    assert unit["Service"]["DynamicUser"] == "yes"


def test_the_dockerfile_copies_what_there_is():
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    for line in re.findall(r"^COPY (?!--)(.+)$", text, flags=re.MULTILINE):
        for name in line.split()[:-1]:
            assert (DEPLOY.parent / name).exists(), name
    assert "USER lookbook" in text
    assert '"serve"' in text
    assert "docker stop -t 35" in text  # of itself it kills after 10 seconds
