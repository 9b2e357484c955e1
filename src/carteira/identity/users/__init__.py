"""People: registered or added, changed, erased, exported; their consents and who looked at their data.

Invariants: an e-mail address (whatever its case) and a CPF belong to one person; a person's id is never used again, not
after erasure; passwords are stored as Argon2id hashes only, and each broken rule is named.
"""
