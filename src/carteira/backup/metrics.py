"""Metrics of backups."""

from prometheus_client import Gauge

kept = Gauge("carteira_backup_kept", "1 where backups are kept", multiprocess_mode="mostrecent")
log_kept = Gauge("carteira_backup_log_kept", "1 where PostgreSQL's log is kept", multiprocess_mode="mostrecent")
made_at = Gauge(
    "carteira_backup_made_timestamp_seconds", "Time of the newest whole backup", multiprocess_mode="mostrecent"
)
log_copied_at = Gauge(
    "carteira_backup_log_timestamp_seconds",
    "Time of the last copy of PostgreSQL's log to the place of the backups",
    multiprocess_mode="mostrecent",
)
size = Gauge(
    "carteira_backup_bytes",
    "Size of the newest whole backup, without documents and log",
    multiprocess_mode="mostrecent",
)
