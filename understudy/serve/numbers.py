"""What the server counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
IMAGES = (1, 2, 4, 8, 16)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"  # instead of a path that there is not: anybody can ask for any number of those


class Numbers:
    """Of one server: a registry of its own, so that two in one process do not meet."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter("understudy_requests", "Answers", ["path", "status"], registry=registry)
        self.seconds = Histogram("understudy_request_seconds", "From the head of a request to the end of its answer",
                                 ["path"], buckets=SECONDS, registry=registry)  # fmt: skip
        self.batches = Histogram("understudy_batch_images", "Images translated at once", buckets=IMAGES,
                                 registry=registry)  # fmt: skip
        self.busy = Gauge("understudy_requests_in_progress", "Requests worked on", registry=registry)
        self.takeovers = Gauge("understudy_takeovers", "New versions taken up since the start", registry=registry)
        self.problem = Gauge("understudy_registry_problem", "1 while something is wrong; /version says what",
                             registry=registry)  # fmt: skip
        self.model = Gauge("understudy_model", "1 for what is served", ["model", "version", "runtime"],
                           registry=registry)  # fmt: skip

    def text(self, model: str, version: str, runtime: str, takeovers: int, problem: str) -> bytes:
        """Everything, in Prometheus' text format."""
        self.takeovers.set(takeovers)
        self.problem.set(bool(problem))
        self.model.clear()
        self.model.labels(model, version, runtime).set(1)
        return generate_latest(self.registry)
