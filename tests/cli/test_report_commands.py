"""`lookbook report` on probabilities of another program."""

from __future__ import annotations

import numpy as np

from conftest import lookbook


def test_probabilities_in_a_damaged_file_are_refused(bars, tmp_path):
    np.savez(tmp_path / "p.npz", probs=np.ones((90, 3)))
    whole = (tmp_path / "p.npz").read_bytes()
    for n in (10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "p.npy").write_bytes(whole[:n])
        ended = lookbook("report", "--predictions", "p.npy", "--data", bars, cwd=tmp_path)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("error: p.npy is no .npy or .npz file of numbers (")
        assert "); save probabilities with numpy.save, or as a table" in ended.stderr
