"""What Prometheus reads."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counts what the service does; each service has its own.

    Attributes:
        requests: to predict, by status.
        seconds: from the end of a request's headers to its answer.
        images: by result: answered or refused.
        waiting: images that are queued or computed.
    """

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        ProcessCollector(registry=own)
        PlatformCollector(registry=own)
        self.requests = Counter(
            "deepfashion_requests", "Requests to predict, by status", ["status"], registry=own
        )
        self.seconds = Histogram(
            "deepfashion_request_seconds", "Time of a request", buckets=_SECONDS, registry=own
        )
        self.images = Counter("deepfashion_images", "Images, by result", ["result"], registry=own)
        self.waiting = Gauge(
            "deepfashion_waiting_images", "Images that are queued or computed", registry=own
        )
        self._sizes = Histogram(
            "deepfashion_batch_images", "Images of a batch", buckets=_SIZES, registry=own
        )
        self._batches = Histogram(
            "deepfashion_batch_seconds", "Time of a batch", buckets=_SECONDS, registry=own
        )
        self._model = Info("deepfashion_model", "What answers", registry=own)

    def describe(self, about: dict[str, str]) -> None:
        """Notes what answers."""
        self._model.info(about)

    def on_batch(self, size: int, seconds: float) -> None:
        """Counts a batch of the engine."""
        self._sizes.observe(size)
        self._batches.observe(seconds)

    def text(self) -> bytes:
        """Returns all of it in Prometheus' text format."""
        return generate_latest(self._registry)
