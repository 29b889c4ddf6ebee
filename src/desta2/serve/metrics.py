"""What `/metrics` tells, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """Counters of one server.

    Attributes:
        requests: Answered, by route and status; a stream that fails midway counts as 500.
        tokens: Of prompts and of answers.
        clips: Heard.
        seconds: Until a request was answered whole, by route.
        first_token: Seconds until the first token of an answer.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("desta2_requests", "Requests", ["route", "status"], registry=registry)
        self.tokens = Counter("desta2_tokens", "Tokens", ["kind"], registry=registry)
        self.clips = Counter("desta2_clips", "Clips heard", registry=registry)
        self.seconds = Histogram(
            "desta2_request_seconds", "Whole requests", ["route"], buckets=_SECONDS, registry=registry
        )
        self.first_token = Histogram(
            "desta2_first_token_seconds", "Until the first token", buckets=_SECONDS, registry=registry
        )

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """A number that is asked for whenever metrics are read."""
        Gauge(name, meaning, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
