"""The console: an operator's desk. Each screen needs its claims; people without any of them see no console (404)."""
