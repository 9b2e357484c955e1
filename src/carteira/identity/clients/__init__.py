"""Clients: machines (an employer's ERP, bus validators, a nightly job) that act under their own name.

Invariants:

- nobody grants a client a claim that they do not hold, nor gets credentials of a client that holds more than they do;
- a client never holds `*`, nor a claim that stands for a person's own judgement (`PEOPLE_ONLY`);
- a secret is shown once and stored as a hash, a public key is stored as it is; two of them are valid at most;
- ending a client or a credential ends its tokens at once, in every process.
"""
