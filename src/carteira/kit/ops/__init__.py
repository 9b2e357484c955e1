"""What a process does on its machine: logs, metrics, private files, and long loops that let others be served."""
