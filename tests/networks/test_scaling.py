"""What inputs become: principal components of mean square one."""

from __future__ import annotations

import numpy as np
import torch

from lookbook.networks.scaling import Components


def test_components_are_uncorrelated_and_of_mean_square_one(fashion):
    components = Components(fashion.images[:2000])
    answers = components(torch.from_numpy(fashion.images[:2000])).numpy()
    covariance = answers.T @ answers / len(answers)
    assert answers.shape == (2000, 192)
    np.testing.assert_allclose(answers.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.diagonal(covariance).mean(), 1, atol=1e-3)
    np.testing.assert_allclose(covariance, np.diag(np.diagonal(covariance)), atol=2e-3)
