"""What Prometheus is told: requests, how long they took, what is served and how much of it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from penchant.serving.limits import Room
from penchant.serving.live import Live

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Observed:
    """Counters of one service. Routes are named by their patterns, so that no id of a user becomes a label."""

    def __init__(self, live: Live, room: Room) -> None:
        self.live = live
        self.room = room
        self.registry = CollectorRegistry()
        of = self.registry
        self._requests = Counter("penchant_requests", "Requests answered.", ("route", "method", "status"), registry=of)
        self._seconds = Histogram(
            "penchant_request_seconds", "From first byte to last.", ("route",), buckets=SECONDS, registry=of
        )
        self.events = Counter("penchant_feedback_events", "Events of feedback.", ("outcome",), registry=of)
        self.reloads = Counter("penchant_reloads", "Reloads of the model.", ("outcome",), registry=of)
        self._model = Info("penchant_model", "The model that is served.", registry=of)
        self._items = Gauge("penchant_items", "Items that can be recommended.", registry=of)
        self._served = Gauge(
            "penchant_served_items", "Items that were in a list since the model was loaded.", registry=of
        )
        self._coverage = Gauge("penchant_served_share", "Their share of all items: catalogue coverage.", registry=of)
        self._in_work = Gauge("penchant_requests_in_work", "Requests in work.", registry=of)
        self._waiting = Gauge("penchant_requests_waiting", "Requests in the queue.", registry=of)
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request is answered. Looking a child up by its labels costs 5 µs, so they are kept."""
        key = (route, method, status)
        found = self._children.get(key)
        if found is None:
            found = self._requests.labels(route, method, str(status)), self._seconds.labels(route)
            self._children[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def text(self) -> bytes:
        """All of it in Prometheus' format."""
        loaded = self.live.loaded
        self._model.info({"model": loaded.recommender.model.name, "version": loaded.version})
        n, served = len(loaded.served), int(loaded.served.sum())
        self._items.set(n)
        self._served.set(served)
        self._coverage.set(served / n)
        self._in_work.set(self.room.taken)
        self._waiting.set(self.room.waiting)
        return generate_latest(self.registry)
