"""The metrics of webhooks."""

from prometheus_client import Counter, Gauge

attempts = Counter("carteira_webhook_attempts", "Calls of clients' addresses, by outcome", ["outcome"])
oldest_seconds = Gauge(
    "carteira_webhook_oldest_seconds",
    "Age of the oldest event that waits for its delivery; 0 if there is none",
    multiprocess_mode="mostrecent",
)
dead = Gauge(
    "carteira_webhook_dead", "Events whose delivery was given up; they are kept", multiprocess_mode="mostrecent"
)
paused = Gauge("carteira_webhook_endpoints_down", "Endpoints that are unreachable now", multiprocess_mode="mostrecent")
