"""Train the tutorial's network with a plain PyTorch loop, and print one JSON line.

The loop that PyTorch's own lessons teach, without the parts that would only slow it down: the
images are scaled before the clock starts, shuffled indices pick the batches from memory (a
`DataLoader` would collect them image by image), and Adam is the fused one. Nothing of lookbook
is used.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

BATCH_SIZE, PASSES = 32, 10


def main() -> None:
    """Train and score the network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--train-pictures", type=int)
    args = parser.parse_args()

    accelerator = (
        torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    )
    device = accelerator or torch.device("cpu")
    with np.load(args.data) as arrays:
        x, y, x_test, y_test = (
            torch.from_numpy(arrays[name].astype(kind)).to(device)
            for name, kind in (
                ("train_images", np.float32),
                ("train_labels", np.int64),
                ("test_images", np.float32),
                ("test_labels", np.int64),
            )
        )
    x, y, x_test = x[: args.train_pictures] / 255, y[: args.train_pictures], x_test / 255

    torch.manual_seed(args.seed)
    layers = (nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    model = nn.Sequential(*layers).to(device)
    # the first optimiser of a process imports PyTorch's compiler: a second, before the clock starts
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    start = time.perf_counter()
    losses = [_train_pass(model, optimizer, x, y) for _ in range(PASSES)]
    fit_seconds = time.perf_counter() - start
    with torch.inference_mode():
        accuracy = (model(x_test).argmax(1) == y_test).float().mean().item()

    print(
        json.dumps(
            {
                "fit_seconds": fit_seconds,
                "accuracy": accuracy,
                "first_loss": losses[0],
                "last_loss": losses[-1],
                "versions": {
                    "python": sys.version.split()[0],
                    "torch": version("torch"),
                    "numpy": version("numpy"),
                },
                "threads": torch.get_num_threads(),
                "device": device.type,
            }
        )
    )


def _train_pass(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> float:
    """Show every image once, in a new order, and return the mean loss."""
    total = 0.0
    for chosen in torch.randperm(len(x), device=x.device).split(BATCH_SIZE):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[chosen]), y[chosen])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(chosen)
    return total / len(x)


if __name__ == "__main__":
    main()
