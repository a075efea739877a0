"""A run of made documents, and what may stand in place of one of its files."""

from __future__ import annotations

import json
import os

from lookbook.runs import schema, store
from lookbook.runs.store import Run

DATA = {
    "name": "mnist",
    "size": [28, 28],
    "channels": 1,
    "from_files": False,
    "classes": ["0", "1"],
    "train_pictures": 2,
    "train_sha256": "0" * 64,
}
CONDITIONS = {
    "started": "2026-01-01T00:00:00",
    "data": DATA,
    "seed": 3,
    "final": False,
    "threads": 1,
    "machine": {"processor": "", "cores": 1, "accelerator": None, "system": "Linux"},
    "versions": {},
    "seconds": {},
    "sha256": {},
}
EPOCH = {
    "epoch": 1,
    "pictures": 2,
    "pictures_per_epoch": 2,
    "loss": 0.5,
    "accuracy": 1.0,
    "val_loss": None,
    "val_accuracy": None,
    "seconds": 1.5,
}
DOCUMENTS = {
    "recipe": {"name": "r", "epochs": 2, "widths": [128]},
    "history": [EPOCH],
    "metrics": {
        "fit_seconds": 1.5,
        "calibration_seconds": 0.5,
        "validation": None,
        "temperature": 1.0,
        "parameters": 9,
        "training_pictures": 2,
        "stopped": False,
    },
    "conditions": CONDITIONS,
}
REMEDIES = {
    "evaluation": "delete it, and evaluate again",
    **dict.fromkeys(("recipe", "history", "metrics", "conditions"), "restore it, or train again"),
}


def write_run(folder, documents, blobs, **options):
    """Write a run of these documents."""
    objects = {
        name: schema.decode(name, json.dumps(document).encode())
        for name, document in documents.items()
    }
    return store.write_run(Run(folder, **objects), blobs, **options)


def make_pipe(path):
    os.mkfifo(path)


def link_to(target):
    return lambda path: path.symlink_to(target)
