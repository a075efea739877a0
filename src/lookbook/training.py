"""Train: Dataset + Recipe → Run."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

from lookbook import metrics
from lookbook.augment import mirror_alternately
from lookbook.calibration import fit_temperature, softmax
from lookbook.conditions import machine, versions
from lookbook.datasets import Dataset, identify, is_picture_folder, load, split_validation
from lookbook.errors import InputError, TrainingError
from lookbook.export import to_onnx
from lookbook.networks import Classifier, build_classifier
from lookbook.optimizers import build_optimizer, rate_at
from lookbook.photos import find_polarity
from lookbook.recipes import Recipe
from lookbook.runs import MODEL, WEIGHTS, Run, check_target, free_folder, write_run

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64, Shaped
    from torch import Tensor

    #: raw inputs and their labels
    Labelled = tuple[Shaped[np.ndarray, "N *shape"], Int64[np.ndarray, "N"]]

#: pictures that are gathered and scaled at once: a gather for each step of 32 costs as much as the
#: step, and far more at once would take memory
AT_ONCE = 2048
#: pictures that go through the network at once where nothing is learnt
EVALUATION_BATCH = 1000


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    #: "training", or "calibration twin" for the second network of a `final` run
    stage: str
    epoch: int
    epochs: int
    #: pictures seen in this epoch, of `pictures_per_epoch`
    pictures: int
    pictures_per_epoch: int
    loss: float
    accuracy: float
    #: None until the epoch ends, and where there is no validation part
    val_loss: float | None
    val_accuracy: float | None
    seconds: float
    seconds_left: float
    epoch_ended: bool


#: what is told of the progress
Tell = Callable[[Progress], None]


@dataclass(frozen=True)
class Fitted:
    """What a fit gives: a trained classifier, and how it came about."""

    classifier: Classifier
    history: list[dict[str, Any]]
    seconds: float
    #: logits of the validation part, empty where there is none
    val_logits: Float32[np.ndarray, "M K"]
    #: it was stopped before its last step
    stopped: bool


def fit(
    training: Labelled,
    validation: Labelled | None,
    recipe: Recipe,
    n_classes: int,
    *,
    seed: int = 0,
    stage: str = "training",
    tell: Tell = lambda _progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Fitted:
    """Train the recipe's network; the same seed on the same machine gives the same weights.

    Parameters
    ----------
    training, validation
        Raw inputs, uint8 pictures (N, H, W) or (N, H, W, 3) or float32 rows (N, D), and labels in
        0..n_classes−1. Nothing is learnt from the validation part.
    recipe
        What to train and how.
    n_classes
        How many logits the network gives.
    seed
        Decides the first weights and the order of the pictures.
    stage, tell
        `tell` hears of the progress of this `stage`.
    should_stop
        Asked after each step; where it says yes, training ends there, with what it has.

    Raises
    ------
    TrainingError
        The loss is no longer finite.

    Examples
    --------
    >>> from lookbook.recipes import TUTORIAL
    >>> pictures = np.repeat(np.uint8([0, 255]), 64)[:, None, None] * np.ones((8, 8), np.uint8)
    >>> fitted = fit((pictures, np.repeat([0, 1], 64)), None, TUTORIAL, 2)
    >>> fitted.history[-1]["accuracy"]
    1.0
    """
    start = time.perf_counter()
    device = pick_device()
    classifier = build_classifier(recipe, training[0], n_classes, seed).to(device)
    scaler, network = classifier.scaler, classifier.network
    images, labels = (torch.from_numpy(array).to(device) for array in training)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = build_optimizer(recipe, weights)
    shuffler = torch.Generator().manual_seed(seed)
    mirrored = torch.rand(len(labels), generator=shuffler) < 0.5 if classifier.mirror else None
    steps = max(1, round(recipe.epochs * math.ceil(len(labels) / recipe.batch_size)))
    clock = _Clock(stage, recipe, len(labels), steps, tell, start)
    half = torch.autocast(device.type, torch.bfloat16, enabled=recipe.half and has_half(device))

    for epoch in range(1, math.ceil(recipe.epochs) + 1):
        order = torch.randperm(len(labels), generator=shuffler)[: clock.pictures_left()]
        for chosen in order.split(max(1, AT_ONCE // recipe.batch_size) * recipe.batch_size):
            scaled = scaler(images[chosen.to(device)])
            if mirrored is not None:
                scaled = mirror_alternately(scaled, mirrored[chosen].to(device), epoch)
            batches = scaled.split(recipe.batch_size)
            answers = labels[chosen.to(device)].split(recipe.batch_size)
            for pixels, answer in zip(batches, answers, strict=True):
                with half:
                    logits = network(pixels).float()
                loss = F.cross_entropy(logits, answer, label_smoothing=recipe.label_smoothing)
                rate = rate_at(recipe, clock.steps_done, steps)
                optimizer.step(torch.autograd.grad(loss, weights), rate)
                clock.count(loss.detach(), logits.detach(), answer)
                if stopped := should_stop():
                    break
            clock.tick(epoch)
            if stopped:
                break
        val_logits = _logits(classifier, validation, device, n_classes)
        clock.end_epoch(epoch, val_logits, validation)
        if stopped or clock.steps_done >= steps:
            break

    seconds = time.perf_counter() - start
    return Fitted(classifier.cpu(), clock.history, seconds, val_logits, stopped)


class _Clock:
    """Count what training did, without waiting for the device at each step."""

    def __init__(
        self, stage: str, recipe: Recipe, n: int, steps: int, tell: Tell, start: float
    ) -> None:
        self.history: list[dict[str, Any]] = []
        self.steps_done = 0
        self._stage, self._recipe, self._n, self._steps = stage, recipe, n, steps
        self._tell, self._start = tell, start
        self._new: list[tuple[Tensor, Tensor, Tensor]] = []
        self._loss, self._hits, self._pictures = 0.0, 0, 0

    def count(self, loss: Tensor, logits: Tensor, answer: Tensor) -> None:
        self._new.append((loss, logits, answer))
        self.steps_done += 1

    def pictures_left(self) -> int:
        """Return how many pictures the remaining steps take: fewer than all in a part of a pass."""
        return (self._steps - self.steps_done) * self._recipe.batch_size

    def tick(self, epoch: int) -> None:
        """Add up the steps since the last call, and tell."""
        losses, logits, answers = zip(*self._new, strict=True)
        self._new = []
        sizes = torch.tensor([len(answer) for answer in answers])
        answer = torch.cat(answers)
        self._loss += float(torch.stack(losses).cpu() @ sizes.float())
        self._hits += int((torch.cat(logits).argmax(1) == answer).sum())
        self._pictures += len(answer)
        if not math.isfinite(self._loss):
            raise TrainingError(
                f"the loss is no longer finite in epoch {epoch}; try a smaller learning rate, and "
                "look for damaged pictures: lookbook look DATA"
            )
        self._say(epoch, None, None, epoch_ended=False)

    def end_epoch(
        self, epoch: int, val_logits: Float32[np.ndarray, "M K"], validation: Labelled | None
    ) -> None:
        val_loss = val_accuracy = None
        if validation is not None:
            probs = softmax(val_logits)
            val_loss = metrics.log_loss(probs, validation[1])
            val_accuracy = metrics.accuracy(probs, validation[1])
        self._say(epoch, val_loss, val_accuracy, epoch_ended=True)
        self.history.append(
            {
                "epoch": epoch,
                "pictures": self._pictures,
                "loss": self._loss / self._pictures,
                "accuracy": self._hits / self._pictures,
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
                "seconds": time.perf_counter() - self._start,
            }
        )
        self._loss, self._hits, self._pictures = 0.0, 0, 0

    def _say(
        self, epoch: int, val_loss: float | None, val_accuracy: float | None, *, epoch_ended: bool
    ) -> None:
        seconds = time.perf_counter() - self._start
        left = seconds / self.steps_done * (self._steps - self.steps_done)
        self._tell(
            Progress(
                stage=self._stage,
                epoch=epoch,
                epochs=math.ceil(self._recipe.epochs),
                pictures=self._pictures,
                pictures_per_epoch=min(self._n, self._pictures + self.pictures_left()),
                loss=self._loss / self._pictures,
                accuracy=self._hits / self._pictures,
                val_loss=val_loss,
                val_accuracy=val_accuracy,
                seconds=seconds,
                seconds_left=left,
                epoch_ended=epoch_ended,
            )
        )


def _logits(
    classifier: Classifier, part: Labelled | None, device: torch.device, n_classes: int
) -> Float32[np.ndarray, "M K"]:
    if part is None:
        return np.zeros((0, n_classes), np.float32)
    classifier.eval()
    with torch.inference_mode():
        logits = torch.cat(
            [
                classifier.logits(torch.from_numpy(batch).to(device))
                for batch in np.array_split(part[0], math.ceil(len(part[0]) / EVALUATION_BATCH))
            ]
        )
    classifier.train()
    return logits.cpu().numpy()


def pick_device() -> torch.device:
    """Return the accelerator where there is one, else the processor."""
    for name in ("cuda", "mps"):
        if torch.get_device_module(name).is_available():
            return torch.device(name)
    return torch.device("cpu")


def has_half(device: torch.device) -> bool:
    """Say whether bfloat16 is computed by instructions of its own, and so pays."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # without them it is slower than float32
    return device.type == "cpu" and _cpu_has_bf16()


def _cpu_has_bf16() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _accelerator() -> str | None:
    """Return the name of the accelerator that `fit` uses, if any."""
    device = pick_device().type
    return torch.cuda.get_device_name() if device == "cuda" else {"mps": "Apple GPU"}.get(device)


# ---- from DATA to a run folder ----


def train(
    data: str,
    recipe: Recipe,
    *,
    seed: int = 0,
    out: Path | None = None,
    size: int | None = None,
    final: bool = False,
    import_seconds: float = 0.0,
    tell: Tell = lambda _progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Train on the training part of DATA and write the run; no test picture is read.

    Parameters
    ----------
    data, size
        As `datasets.load` takes them.
    recipe, seed, tell, should_stop
        As `fit` takes them.
    out
        The run's folder; without it `runs/<data>-<recipe>-<number>`.
    final
        Train on the validation part, too. The temperature then comes from a twin that is trained
        without it; that time is `calibration_seconds`, not `fit_seconds`.
    import_seconds
        What starting took, for the account in `conditions.json`.

    Raises
    ------
    InputError, DownloadError, OutputError, TrainingError
        As their docstrings say; nothing is written then.
    """
    if not 0 <= seed < 2**63:
        raise InputError(f"the seed must be in 0..{2**63 - 1}, got {seed}")
    started = datetime.now(UTC).isoformat(timespec="seconds")
    folder = out or free_folder(identify(data), recipe.name)
    check_target(folder)
    seconds = {"imports": import_seconds}
    with _timed(seconds, "data"):
        whole = load(data, "train", size=size)
        training, validation = split_validation(whole, seed=seed)

    fit_on = partial(
        fit,
        recipe=recipe,
        n_classes=len(whole.classes),
        seed=seed,
        tell=tell,
        should_stop=should_stop,
    )
    if final:
        fitted = fit_on(_arrays(whole), None)
    else:
        fitted = fit_on(_arrays(training), _arrays(validation))
    seconds["fit"] = fitted.seconds
    with _timed(seconds, "calibration"):
        if final and not fitted.stopped:
            # what must come from unseen pictures comes from a twin that did not see them
            twin = fit_on(_arrays(training), _arrays(validation), stage="calibration twin")
            fitted = _take_answers(fitted, twin)
        temperature = fit_temperature(
            fitted.val_logits, validation.labels[: len(fitted.val_logits)]
        )
        fitted.classifier.temperature.fill_(temperature)

    measured = {
        "fit_seconds": seconds["fit"],
        "calibration_seconds": seconds["calibration"],
        "validation": _on_validation(fitted.val_logits, validation, temperature, final=final),
        "temperature": temperature,
        "parameters": sum(p.numel() for p in fitted.classifier.network.parameters()),
        "training_pictures": len(whole if final else training),
        "stopped": fitted.stopped,
    }
    with _timed(seconds, "export"):
        blobs = _blobs(fitted.classifier, whole, recipe, measured)
    conditions = {
        "started": started,
        "data": _about_data(data, whole),
        "seed": seed,
        "final": final,
        "device": str(pick_device()),
        "threads": torch.get_num_threads(),
        "machine": machine(_accelerator()),
        "versions": versions(),
        "seconds": seconds,
        "sha256": {name: hashlib.sha256(blob).hexdigest() for name, blob in blobs.items()},
    }
    documents = {
        "recipe": recipe.to_json(),
        "history": fitted.history,
        "metrics": measured,
        "conditions": conditions,
    }
    return write_run(folder, documents, blobs, numbered=out is None)


def _take_answers(fitted: Fitted, twin: Fitted) -> Fitted:
    """Give a fit the answers of its twin; those of a twin that was stopped say nothing."""
    if twin.stopped:
        return replace(fitted, stopped=True)
    return replace(fitted, val_logits=twin.val_logits)


def _blobs(
    classifier: Classifier, whole: Dataset, recipe: Recipe, measured: dict[str, Any]
) -> dict[str, bytes]:
    """Return the weights and the model, as files hold them."""
    about = {
        "classes": whole.classes,
        "polarity": find_polarity(whole.images),
        "temperature": measured["temperature"],
        "recipe": recipe.to_json(),
        "validation": measured["validation"],
        "lookbook": version("lookbook"),
    }
    state = {name: value.contiguous() for name, value in classifier.state_dict().items()}
    return {
        WEIGHTS: safetensors.torch.save(state),
        MODEL: to_onnx(classifier, whole.images[:64], about).content,
    }


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[part] = time.perf_counter() - start


def _arrays(dataset: Dataset) -> Labelled:
    return dataset.images, dataset.labels


def _on_validation(
    logits: Float32[np.ndarray, "M K"], validation: Dataset, temperature: float, *, final: bool
) -> dict[str, Any] | None:
    """Say how good these answers are; there are none of a `final` run that was stopped."""
    if len(logits) == 0:
        return None
    probs = softmax(logits / temperature)
    share = metrics.accuracy(probs, validation.labels)
    return {
        "accuracy": share,
        "interval": metrics.wilson_interval(share, len(validation)),
        "loss": metrics.log_loss(probs, validation.labels),
        "calibration_error": metrics.calibration_error(probs, validation.labels),
        "n": len(validation),
        "of": "a twin trained without the validation part" if final else "this network",
    }


def _about_data(data: str, whole: Dataset) -> dict[str, Any]:
    """Say which data it was, and how to load it again from any folder."""
    return {
        "name": identify(data),
        "size": whole.size,
        "channels": whole.channels,
        "from_files": is_picture_folder(data),
        "classes": whole.classes,
        "train_pictures": len(whole),
        "train_sha256": whole.sha256(),
    }


def load_network(run: Run) -> nn.Module:
    """Return a run's network with its weights, to go on with in torch.

    Raises
    ------
    DamagedFileError
        The weights are not those that the run wrote.
    """
    run.check_files()
    data = run.conditions["data"]
    shape = (1, *data["size"], *([3] if data["channels"] == 3 else []))
    like = np.zeros(shape, np.uint8)
    recipe = Recipe.from_json(run.recipe)
    classifier = build_classifier(recipe, like, len(data["classes"]), seed=0)
    classifier.load_state_dict(safetensors.torch.load_file(run.weights))
    return classifier.eval()
