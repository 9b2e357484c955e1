"""People: their registration, change, erasure, export and consents, and the looks at their data.

Invariants: an e-mail address (regardless of case) and a CPF belong to one person; a person's id is never reused, not
even after erasure; passwords are stored as Argon2id hashes only, and each broken rule is named.
"""
