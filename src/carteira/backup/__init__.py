"""Backups: all stores into one place, encrypted to a public key; restores; and the repetition of erasures.

It owns the place of backups (a folder or a bucket) and no table. Invariants:

- PostgreSQL's copy is of one instant; documents are copied after it, and deleted a day after their row;
- the machine that makes a backup cannot read it: the private key is on no server, and keys are never stored beside the
  data;
- a backup counts once its manifest is written, which names each part with its size and hash;
- a restore writes into empty places only; with `--again` it adds what is missing where a store was not lost.

Sources: docs/how-to/back-up.md, docs/how-to/restore.md; ADR 0031.
"""
