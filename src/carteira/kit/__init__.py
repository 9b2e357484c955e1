"""Kit: what every module stands on, and no domain. Six shelves; an import goes to a lower shelf or stays on its own.

- `web`: the HTTP contract. `problems`, `validation`, `bodies` (every error is an RFC 9457 problem in Portuguese),
  `access` (who asks, and may they; deny by default), `transaction`, `idempotency`, `approvals` and `pending`
  (operations that wait for a second person), `pagination`, `versions`, `edge`, `openapi`, `docs`, `health`, `postman`.
- `security`: `tokens`, `opaque_tokens`, `codes` (one-time codes by message), `sealing`, `rate_limits`, `approvals`
  (four eyes and limits), `audit`.
- `outbound`: `http`, `mail`, `email_templates`, `sms`, `redis`: calls to other services, with time-outs.
- `db`: `engine` (one request or job, one transaction), `lean`, `session`, `base`, `errors`, `outbox`, `jobs`.
- `ops`: `log`, `metrics`, `cooperative`, `progress`, `private_files` (keys and passwords: whole or not at all).
- `values`: `money`, `cpf`, `ids`, `actor`, `clock`, `csv_lines`, `exact_json`. Centavos are integers, instants aware
  and in UTC, ids UUIDv7.

Below `web` nothing knows HTTP: those shelves raise facts, and `web.problems` says in one table as which problem each
leaves.

Above the shelves stands `module`: what a module hands to the composition root.
"""
