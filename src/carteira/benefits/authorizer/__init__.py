"""The authorizer: from the processor's bytes to an answer of `00`, `51` or `07`, decided once and written once.

The path of a request, in the order in which to read the files:

    fast_lane | asgi → request → the ledger's lane (queue) | per_request → writer → batch (rules) → decisions → ledger

- `answers`, `request`, `rules`, `explain`: plain values and pure functions, the same for all strategies and for the
  simulator.
- `asgi` answers every request; `fast_lane` answers plain ones from the connection's bytes, and leaves the others to
  `asgi`.
- `strategies` chooses how one account's requests are handled: `queue`, or `per_request`'s `optimistic`, `pessimistic`.
- `writer` caches the catalog and resolves unknown commits; `batch` decides requests against the ledger's book and
  writes entries and decisions in one statement. Both are users of `ledger/lane`, which retries conflicts.

Invariants: the answer is always HTTP 200 and one of three bodies; an approved decision and its entry share id and
transaction; the same transaction id with the same content gets its first answer again; a locked account, a slow client
or a poisonous request delays nobody else. ADR 0003 and 0007 say why.
"""
