"""Backups: all stores into one place, encrypted to a public key; restored from there; and what was erased stays erased.

It owns the place where backups lie (a folder or a bucket) and no table. Invariants:

- PostgreSQL is the truth at one instant; documents are copied after it, and deleted a day after their row;
- whoever makes a backup cannot read it: the private key is on no server, and keys never lie beside the data;
- a backup counts once its manifest is written, which names each part with its size and hash;
- a restore writes into empty places only.

Sources: docs/how-to/back-up.md, docs/how-to/restore.md; ADR 0031.
"""
