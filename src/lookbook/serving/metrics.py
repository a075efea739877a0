"""Metrics for Prometheus: requests, latency, queue, batches, and how sure answers are."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool

    from lookbook.inference.thresholds import Verdict

#: the type of the text that `Metrics.write` returns
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: seconds, upper ends
_LATENCIES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
#: where workers put their numbers together; prometheus-client reads it as it is imported
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """What a server counts. Counting takes a microsecond or two."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self._registry}
        self._requests = Counter(
            "lookbook_requests", "Requests by route and status.", ("route", "status"), **own
        )
        self._latency = Histogram(
            "lookbook_request_seconds", "Time from the first byte of a request to its answer.",
            ("route",), buckets=_LATENCIES, **own,
        )  # fmt: skip
        self._queue = Gauge(
            "lookbook_queue_images", "Images that wait or are in work.",
            multiprocess_mode="livesum", **own,
        )  # fmt: skip
        self._batches = Histogram(
            "lookbook_batch_images", "Images that went through a network at once.", ("model",),
            buckets=_SIZES, **own,
        )  # fmt: skip
        self._answers = Counter(
            "lookbook_answers", "Answers by what is made of them.", ("model", "version", "verdict"),
            **own,
        )  # fmt: skip
        # looking a child up takes as long as counting
        self._route = cache(self._latency.labels)
        self._status = cache(self._requests.labels)
        self._batch = cache(self._batches.labels)
        self._answer = cache(self._answers.labels)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._status(route, status).inc()
        self._route(route).observe(seconds)

    def count_batch(self, model: str, n: int) -> None:
        """Count a batch of so many images."""
        self._batch(model).observe(n)

    def count_answers(
        self,
        model: str,
        version: str,
        strange: Bool[np.ndarray, "N"],
        unsure: Bool[np.ndarray, "N"],
    ) -> None:
        """Count answers to images, whose novelty and unsureness show drift."""
        n_strange = int(strange.sum())
        n_unsure = int((unsure & ~strange).sum())
        self.count_verdict(model, version, "not one of these", n_strange)
        self.count_verdict(model, version, "not sure", n_unsure)
        self.count_verdict(model, version, "answer", len(strange) - n_strange - n_unsure)

    def count_verdict(self, model: str, version: str, verdict: Verdict, n: int = 1) -> None:
        """Count answers of one kind."""
        self._answer(model, version, verdict).inc(n)

    def note_queue(self, n_images: int) -> None:
        """Note how many images are in the queue: other processes may be asked for it."""
        self._queue.set(n_images)

    def write(self, n_images: int) -> bytes:
        """Return all numbers as Prometheus takes them; so many images are in the queue."""
        self.note_queue(n_images)
        if SHARED_FOLDER not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def forget_process(number: int) -> None:
    """Leave out what a process that died says of now; what it counted stays."""
    mark_process_dead(number)  # type: ignore[no-untyped-call]
