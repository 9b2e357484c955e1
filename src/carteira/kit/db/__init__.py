"""PostgreSQL: engine, sessions, lean transactions on the driver, errors as facts, outbox, deferred jobs. No HTTP."""
