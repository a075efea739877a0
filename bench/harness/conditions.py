"""Say under which conditions figures came about: when, where, with which code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness.peer_process import ROOT
from lookbook.core.environment import Environment, processor

if TYPE_CHECKING:
    from bench.harness.record import Results


def conditions(data: Any) -> dict[str, Any]:
    """Return time, machine, load, commit and versions as they are now, with what the data is."""
    commit = _git("rev-parse", "HEAD")
    here = Environment.here()  # each peer says itself which device it took
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": data,
        "machine": {name: here.machine[name] for name in ("processor", "cores", "system")},
        "load_average": os.getloadavg(),
        "commit": commit,
        "clean": commit is not None and _git("status", "--porcelain") == "",
        "versions": here.versions,
    }


def _git(*arguments: str) -> str | None:
    """Return git's answer, or None without git or outside a repository."""
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "-C", str(ROOT), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.stdout.strip() if ended.returncode == 0 else None


# ---- the processor, as a folder of results is called ----


def processor_name() -> str:
    """Return a name for this processor, with what matters to the speed of training."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    return name_processor(processor(), text)


def name_processor(processor: str, cpuinfo: str) -> str:
    r"""Return what a processor is called: its name, generation and widest arithmetic.

    >>> about = "cpu family : 25\nmodel : 17\nflags : avx2 avx512f avx512_bf16"
    >>> name_processor("AMD EPYC", about), name_processor("Apple M4", "")
    ('amd-epyc-zen4-bfloat16', 'apple-m4')
    """
    plain = re.sub(r"\((R|TM)\)|@.*|\b(CPU|Processor)\b", " ", processor)
    fields = dict(re.findall(r"^(\S[^\t:]*?)\s*: (.*)$", cpuinfo, flags=re.MULTILINE))
    parts = [*plain.split(), _generation(processor, fields), _arithmetic(fields.get("flags", ""))]
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-") or "unknown"


def _generation(processor: str, fields: dict[str, str]) -> str:
    """Return the generation that an AMD processor's name in a virtual machine does not say."""
    if not processor.startswith("AMD"):
        return ""
    model = int(fields.get("model", 0))
    generations = {
        "23": "zen2" if model >= 0x30 else "zen",
        "25": "zen4" if 0x10 <= model < 0x20 or model >= 0x60 else "zen3",
        "26": "zen5",
    }
    return generations.get(fields.get("cpu family", ""), "")


def _arithmetic(flags: str) -> str:
    known = {"avx512_bf16": "bfloat16", "amx_bf16": "bfloat16", "avx512f": "avx512", "avx2": "avx2"}
    return next((name for flag, name in known.items() if flag in flags.split()), "")


# ---- in words ----


def condition_lines(results: Results) -> list[str]:
    """Say when, where, how busy and with which code it was measured."""
    found = results["conditions"]
    machine = found["machine"]
    loads = ", ".join(f"{load:.2f}" for load in found["load_average"])
    state = "clean tree" if found["clean"] else "with changes that are not committed"
    code = f"commit {found['commit']}, {state}" if found["commit"] else "no commit known"
    return [
        f"Started: {found['started']}",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}",
        f"Load average at the start: {loads} (1, 5 and 15 minutes)",
        f"Code: {code}",
    ]


def list_seeds(measurements: list[dict[str, Any]], name: str = "seed") -> str:
    """List the seeds that were measured.

    >>> list_seeds([{"seed": 1}, {"seed": 0}, {"seed": 1}])
    '0, 1'
    """
    return ", ".join(map(str, sorted({one[name] for one in measurements})))


def entry_lines(results: dict[str, Any]) -> list[str]:
    """Say of each side that was measured what it is, and on what it ran."""
    measured = {one["name"]: one for one in reversed(results["measurements"])}
    return [
        f"{entry['name']}: {entry['about']}; {one['device']}, {one['threads']} threads; "
        f"{version_line(one['versions'])}"
        for entry in results["entries"]
        if (one := measured.get(entry["name"]))
    ]


def version_line(versions: dict[str, str]) -> str:
    """List versions as a reader needs them: without the hash of the source."""
    named = (f"{n} {version}" for n, version in versions.items() if not n.endswith("sha256"))
    return ", ".join(named)


def machine_line(results: Results) -> str:
    """Say in one line below a figure where and when it was measured."""
    found = results["conditions"]
    machine = found["machine"]
    commit = (found["commit"] or "not known")[:10]
    return (
        f"{machine['processor']}, {machine['cores']} cores, load {found['load_average'][0]:.1f} at "
        f"the start; {found['started'][:10]}; commit {commit}"
        f"{'' if found['clean'] else ' with changes'}"
    )
