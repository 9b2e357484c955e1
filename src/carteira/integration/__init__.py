"""What one module tells another, where an event is not enough. Modules do not know of each other; this does."""
