"""The lane, for high volumes: requests are decided together in memory and written in one statement.

The path of a request: queue (admission, deferred) → writer → batch → the book, and the rows that its module keeps.

A module uses it by two classes: a `Batch`, which defines what each request asks of which account, how it is decided and
which rows are written with the book; and a `Writer`, which makes batches and resolves unknown commits. It runs a
`Queue` over the writer (the *fast* gear), or asks the writer for one request at a time (the *ordinary* one). Each
module has its own queue, so that overload in one sheds no request of another.

Invariants: a request is decided once, on its account's balance at the write; requests of one account keep their order;
a locked account or a poisonous request delays nobody else. ADR 0003 and 0027 say why.
"""
