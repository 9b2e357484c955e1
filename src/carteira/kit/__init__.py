"""Kit: the mechanisms below all modules, without a domain. Six shelves; imports stay on a shelf or go to a lower one.

- `web`: the HTTP contract. `problems`, `validation`, `bodies` (every error is an RFC 9457 problem in Portuguese),
  `access` (authentication and authorization; deny by default), `transaction`, `idempotency`, `approvals` and `pending`
  (operations that wait for a second person), `pagination`, `versions`, `edge`, `openapi`, `docs`, `health`, `postman`.
- `security`: `tokens`, `opaque_tokens`, `codes` (one-time codes by message), `sealing`, `rate_limits`, `approvals`
  (four eyes and limits), `audit`.
- `outbound`: `http`, `mail`, `email_templates`, `sms`, `redis`: calls to other services, with time-outs.
- `db`: `engine` (one request or job, one transaction), `lean`, `session`, `base`, `errors`, `outbox`, `jobs`.
- `ops`: `log`, `metrics`, `cooperative`, `progress`, `private_files` (keys and passwords: whole or not at all).
- `values`: `money`, `cpf`, `ids`, `actor`, `clock`, `csv_lines`, `exact_json`. Centavos are integers, instants aware
  and in UTC, ids UUIDv7.

Below `web` nothing knows HTTP: those shelves raise facts, and one table in `web.problems` maps each to its problem.

Above the shelves is `module`: a module's contributions to the composition root.
"""
