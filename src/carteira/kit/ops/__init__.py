"""What operators see: logs and metrics; and long loops that let others be served."""
