"""Memory that a benchmark reports is that of all programs which it started."""

import subprocess
import sys
import time

from bench.harness.memory import watched_memory


def test_memory_is_that_of_all_programs_that_were_started():
    code = "a = bytearray(80_000_000); import time; time.sleep(1.5)"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    with watched_memory() as before:  # what other tests have started
        time.sleep(0.3)
    with watched_memory() as memory:
        subprocess.run([sys.executable, "-c", nested], check=True)
    assert 80e6 < memory.peak - before.peak < 200e6
