"""The lane: money that comes by thousands, decided together in memory and written in one statement.

The way of a request: queue (admission, deferred) → writer → batch → the book, and the rows that its module keeps.

A module uses it by two classes: a `Batch`, which says what each request asks of which account, how it is decided and
which rows are written with the book; and a `Writer`, which makes batches and settles what is in doubt. It runs a
`Queue` over the writer (the *fast* gear), or asks the writer for one request at a time (the *ordinary* one). Each
module has its own queue, so that a flood of one sheds none of another.

Invariants: a request is decided once, on what its account has by the time it is written; requests of one account keep
their order; a locked account or a poisonous request holds up nobody else. ADR 0003 and 0027 say why it is so.
"""
