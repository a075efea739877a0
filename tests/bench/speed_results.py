"""Results of the benchmark of speed, made up: for the tests of its table and its figure."""

# made up: keras-tensorflow is slow, ours fast, and ours failed with seed 1
FITS = {"keras-tensorflow": [44.0, 40.0, 47.5], "lookbook-tutorial": [8.0, 9.5]}
ACCURACIES = {"keras-tensorflow": [0.873, 0.877, 0.874], "lookbook-tutorial": [0.8815, 0.8799]}
SEEDS = {"keras-tensorflow": [0, 1, 2], "lookbook-tutorial": [0, 2]}


def measurement(name, seed, fit, accuracy):
    ours = {"calibration_seconds": fit - 1} if name.startswith("lookbook") else {}
    return {
        "name": name,
        "seed": seed,
        "fit_seconds": fit,
        "accuracy": accuracy,
        "first_loss": 0.5 + seed / 100,
        "last_loss": 0.24 + seed / 100,
        "versions": {"python": "3.11.7", "source_sha256": "ab" * 32},
        "threads": 2,
        "device": "cpu",
        "process_seconds": fit + 5,
        "load_average_before": [0.1 + seed, 0.2, 0.3],
        **ours,
    }


def made_up_results():
    return {
        "trial": False,
        "conditions": {
            "started": "2026-01-02T03:04:05+00:00",
            "data": {"title": "Fashion-MNIST", "train_pictures": 60_000, "test_pictures": 10_000},
            "machine": {"processor": "A Processor", "cores": 2, "system": "Linux x86_64"},
            "load_average": [0.5, 0.25, 0.125],
            "commit": "0123456789abcdef",
            "clean": True,
            "versions": {"python": "3.11.7"},
        },
        "entries": [
            {"name": "keras-tensorflow", "about": "a script", "ours": False, "requirements": []},
            {"name": "absent", "about": "never ran", "ours": False, "requirements": []},
            {"name": "lookbook-tutorial", "about": "a command", "ours": True, "requirements": []},
        ],
        "measurements": [
            measurement(name, seed, fit, accuracy)
            for name in FITS
            for seed, fit, accuracy in zip(SEEDS[name], FITS[name], ACCURACIES[name], strict=True)
        ],
        "failures": [
            {"name": "lookbook-tutorial", "seed": 1, "message": "Traceback\nValueError: no"}
        ],
    }
