"""Pages that are open to anyone."""
