"""The HTTP contract: problems, access, the edge, idempotency, pagination, versions, OpenAPI, health."""
