"""Calls between modules, where an event is not enough. Modules do not import each other; this package does."""
