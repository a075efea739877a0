"""Learn photographs from pretrained weights in a usual way; print one JSON line.

`finetune`, as lessons of PyTorch write it: a new last layer on the pretrained network, all layers
trained by Adam, each image shown as a random part of it in 224×224, mirrored every other time,
until the time is over. `features`: scikit-learn's logistic regression on what the network, as it
is, says of the middle of each image; `balanced`: the same, each class of equal weight. Network and
weights are those of the recipe `transfer`, whose norms are folded into the convolutions; nothing
else of lookbook trains. The time is that of the whole script up to the last step; files are decoded
to memory once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lookbook.evaluation.metrics import calibration_error
from lookbook.networks.efficientnet import FEATURES, EfficientNet
from lookbook.networks.pretrained import load_pretrained

if TYPE_CHECKING:
    from jaxtyping import Float, Int64
    from torch import Tensor

    #: images and their labels
    Photographs = tuple[list[Image.Image], Int64[np.ndarray, "N"]]

BATCH_SIZE, LEARNING_RATE = 32, 1e-4
#: the shorter side to which files are brought, and the side of what the network sees
SHORTER, SIDE = 256, 224
#: seconds between the start of this process and here
IMPORTS = time.process_time()


def main() -> None:
    """Train until the time is over, then score once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("way", choices=("finetune", "features", "balanced"))
    parser.add_argument("--photos", type=Path, required=True, help="has train/ and test/")
    parser.add_argument("--minutes", type=float, help="for the whole script of `finetune`")
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()

    start = time.perf_counter() - IMPORTS
    torch.manual_seed(args.seed)
    training, test = read(args.photos / "train"), read(args.photos / "test")
    network = load_pretrained()
    if args.way != "finetune":
        weights = "balanced" if args.way == "balanced" else None
        regression = make_pipeline(
            StandardScaler(), LogisticRegression(max_iter=1000, class_weight=weights)
        )
        regression.fit(features(network, training[0]), training[1])
        seconds, epochs = time.perf_counter() - start, None
        probs = regression.predict_proba(features(network, test[0]))
    else:
        end = start + 60 * args.minutes
        epochs = finetune(network, training, end, np.random.default_rng(args.seed))
        seconds = time.perf_counter() - start
        with torch.inference_mode():
            logits = network.head(torch.from_numpy(features(network, test[0])))
        probs = logits.softmax(1).numpy()
    print(
        json.dumps(
            {
                "accuracy": float((probs.argmax(1) == test[1]).mean()),
                "balanced_accuracy": float(balanced_accuracy_score(test[1], probs.argmax(1))),
                "macro_f1": float(f1_score(test[1], probs.argmax(1), average="macro")),
                "ece": float(calibration_error(probs, test[1])),
                "refused": None,
                "seconds": seconds,
                "epochs": epochs,
                "versions": {
                    "python": sys.version.split()[0],
                    **{name: version(name) for name in ("torch", "scikit-learn", "numpy")},
                },
                "threads": torch.get_num_threads(),
                "device": "cpu",
            }
        )
    )


def read(folder: Path) -> Photographs:
    """Return the images of class folders, of 256 pixels on the shorter side, and their labels."""
    images, labels = [], []
    for label, place in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for path in sorted(place.iterdir()):
            image = Image.open(path).convert("RGB")
            scale = SHORTER / min(image.size)
            width, height = (round(scale * side) for side in image.size)
            images.append(image.resize((width, height)))
            labels.append(label)
    return images, np.array(labels)


def finetune(
    network: EfficientNet, training: Photographs, end: float, rng: np.random.Generator
) -> float:
    """Train all layers until then; return the epochs."""
    images, labels = training
    network.head = torch.nn.Linear(FEATURES, int(labels.max()) + 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    network.train()
    seen = 0
    while time.perf_counter() < end:
        order = rng.permutation(len(images))
        for first in range(0, len(order), BATCH_SIZE):
            chosen = order[first : first + BATCH_SIZE]
            batch = as_batch([random_part(images[i], rng) for i in chosen])
            loss = torch.nn.functional.cross_entropy(
                network(batch), torch.from_numpy(labels[chosen])
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(chosen)
            if time.perf_counter() >= end:
                break
    return seen / len(images)


def random_part(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a tenth to all of an image's area, from anywhere, mirrored every other time."""
    share = np.sqrt(rng.uniform(0.1, 1))
    width, height = (share * side for side in image.size)
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    part = image.resize((SIDE, SIDE), box=(left, top, left + width, top + height))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part


def as_batch(images: list[Image.Image]) -> Tensor:
    """Return images as the network takes them: bytes, N C H W."""
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)


@torch.inference_mode()
def features(network: EfficientNet, images: list[Image.Image]) -> Float[np.ndarray, "N T"]:
    """Return the features of the middle of each image, 224×224, eight at a time."""
    found = []
    for first in range(0, len(images), 8):
        middles = [
            image.crop((left := (image.width - SIDE) // 2, top := (image.height - SIDE) // 2,
                        left + SIDE, top + SIDE))
            for image in images[first : first + 8]
        ]  # fmt: skip
        found.append(network.features(as_batch(middles)).numpy())
    return np.concatenate(found)


if __name__ == "__main__":
    main()
