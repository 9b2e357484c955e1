"""A process on its machine: logs, metrics, traces, private files, and long loops that yield to the event loop."""
