"""The name of a processor: that of the folder which holds its results."""

import pytest

from bench.harness.conditions import name_processor
from bench.harness.files import RESULTS

ZEN = "cpu family\t: {}\nmodel\t\t: {}\nmodel name\t: AMD EPYC\nflags\t\t: fpu {}\n"
XEON = "cpu family\t: 6\nmodel\t\t: 207\nflags\t\t: avx2 avx512f avx512_bf16 amx_bf16\n"


@pytest.mark.parametrize(
    ("processor", "cpuinfo", "name"),
    [
        ("AMD EPYC", ZEN.format(25, 1, "avx2"), "amd-epyc-zen3-avx2"),
        ("AMD EPYC", ZEN.format(25, 17, "avx2 avx512f avx512_bf16"), "amd-epyc-zen4-bfloat16"),
        ("AMD EPYC", ZEN.format(26, 2, "avx2 avx512f avx512_bf16"), "amd-epyc-zen5-bfloat16"),
        ("AMD EPYC", ZEN.format(23, 49, "avx2"), "amd-epyc-zen2-avx2"),
        ("Intel(R) Xeon(R) Processor", XEON, "intel-xeon-bfloat16"),
        ("Intel(R) Core(TM) i5 CPU @ 2.30GHz", "flags : sse avx2\n", "intel-core-i5-avx2"),
        ("Apple M4", "", "apple-m4"),
        ("", "", "unknown"),
    ],
)
def test_a_processor_is_named_by_what_decides_its_speed(processor, cpuinfo, name):
    # of several cores, each says the same once more
    assert name_processor(processor, cpuinfo * 2) == name


def test_the_results_that_there_are_lie_in_such_folders():
    assert {path.name for path in RESULTS.iterdir()} >= {
        "amd-epyc-zen3-avx2",
        "amd-epyc-zen4-bfloat16",
        "intel-xeon-bfloat16",
    }
