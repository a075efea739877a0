"""Real images are answered alike by the network, ONNX Runtime, Node.js, the page and 8 bits."""

import pytest

from bench import deployment
from lookbook.recipes import STANDARD
from lookbook.training.pipeline import train

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the benchmark measures of Fashion-MNIST, after a fifth of the recipe's passes."""
    folder = tmp_path_factory.mktemp("elsewhere") / "run"
    run = train("fashion-mnist", STANDARD.with_epochs(2), out=folder)
    return deployment.measure(run)


def test_the_same_probabilities_everywhere(found):
    assert found["n"] == 500
    assert found["largest_difference"].keys() == {
        "the network in PyTorch",
        "onnxruntime-node",
        "the page in Chromium",
    }
    assert max(found["largest_difference"].values()) < 1e-3


def test_the_same_class_in_8_bits(found):
    assert found["int8"]["n"] == 10_000
    assert 0.99 <= found["int8"]["same_class"] < 1


def test_the_sizes_that_are_promised(found):
    assert found["page_bytes"] < 4e6
    assert found["model_bytes"] <= found["weight_bytes"] + 256 * 1024


def test_the_table_says_so(found):
    lines = "\n".join(deployment._lines(found))
    assert f"| {100 * found['int8']['same_class']:.2f} % |" in lines
    assert f"the first {found['n']} test pictures" in lines
