"""Kit: what every module stands on, and no domain.

- `money`, `cpf`, `ids`, `clock`: values. Centavos are integers, instants aware and in UTC, ids UUIDv7.
- `pieces`: long work that lets the event loop go on.
- `tx`: one request or job, one transaction, opened at the edge and committed before the answer leaves.
- `problems`, `validation`: every error is an RFC 9457 problem in Portuguese.
- `access`, `tokens`: who asks, and may they; deny by default.
- `idempotency`, `pagination`, `versions`: the habits of the HTTP contract.
- `events`, `jobs`: what one module tells another, and what is put off to the worker.
- `http`, `mail`: calls to other people's services, with time-outs.
- `edge`, `log`, `metrics`: request ids, limits, structured logs, Prometheus.
- `module`: what a module hands to the composition root.
"""
