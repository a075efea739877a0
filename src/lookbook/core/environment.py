"""Environment of a figure: versions, hash of the source, machine; which of several processes."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Self

from msgspec import Meta, Struct

from lookbook.core.document import Document

#: packages whose version can change a figure
PACKAGES = ("lookbook", "torch", "numpy", "onnx", "onnxruntime", "safetensors")
#: what torchrun, and every launcher that sets up `torch.distributed` alike, tells each process
VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Machine(Document, Struct, frozen=True, kw_only=True):
    """What a reader of a time has to know about the machine."""

    processor: str
    #: those that the process may use
    cores: Annotated[int, Meta(ge=1, le=2**53)]
    accelerator: str | None
    #: operating system and architecture
    system: str

    @classmethod
    def here(cls, accelerator: str | None) -> Self:
        """Return this machine, of whose accelerators one computes."""
        return cls(
            processor=processor(),
            cores=usable_cores(),
            accelerator=accelerator,
            system=f"{platform.system()} {platform.machine()}",
        )


class Environment(Document, Struct, frozen=True, kw_only=True):
    """What figures depend on besides data, recipe and seed."""

    machine: Machine
    versions: dict[str, str]

    @classmethod
    def here(cls, accelerator: str | None = None) -> Self:
        """Return this machine, and the versions of what computes on it."""
        return cls(machine=Machine.here(accelerator), versions=versions())


@dataclass(frozen=True)
class Launch:
    """Place of this process among those that were started together, on all machines and on this."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def here(cls) -> Self:
        """Return the place that the environment names; without one, the process is alone.

        >>> Launch.here().is_first
        True
        """
        if not all(os.environ.get(name) for name in VARIABLES):
            return cls()
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        local = os.environ.get("LOCAL_RANK") or 0, os.environ.get("LOCAL_WORLD_SIZE") or 1
        return cls(rank, size, *map(int, local))

    @property
    def is_first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    @property
    def threads(self) -> int:
        """How many threads are this process's: its part of the cores that the machine's share.

        torchrun sets `OMP_NUM_THREADS` to 1 where nobody did; a greater number is the user's.
        """
        asked = int(os.environ.get("OMP_NUM_THREADS") or 1)
        return asked if asked > 1 else max(1, usable_cores() // self.local_size)


def usable_cores() -> int:
    """Return how many processor cores this process may use, which can be fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Return the versions of what computes, and the hash of this package's own source."""
    return {
        "python": sys.version.split()[0],
        **{name: version(name) for name in PACKAGES},
        "source_sha256": source_sha256(),
    }


def source_sha256() -> str:
    """Return the hash of this package's own source."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def processor() -> str:
    """Return the processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
