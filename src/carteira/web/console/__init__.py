"""The console: an operator's desk. Every screen is opened by its claims; who has none of them finds nothing here."""
