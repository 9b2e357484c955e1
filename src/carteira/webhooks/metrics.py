"""The metrics of webhooks."""

from prometheus_client import Counter, Gauge

attempts = Counter("carteira_webhook_attempts", "Calls of clients' addresses, by what came of them", ["outcome"])
oldest_seconds = Gauge(
    "carteira_webhook_oldest_seconds",
    "For how long the oldest event waits that an endpoint has not been told; 0 if there is none",
    multiprocess_mode="mostrecent",
)
dead = Gauge(
    "carteira_webhook_dead", "Events that endpoints were not told, given up and kept", multiprocess_mode="mostrecent"
)
paused = Gauge(
    "carteira_webhook_endpoints_down", "Endpoints that are not to be reached now", multiprocess_mode="mostrecent"
)
