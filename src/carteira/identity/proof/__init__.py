"""Proof of a CPF: gov.br, or an operator who saw person and paper, confirms whose it is.

Invariants: a declared CPF gives no access to what other modules keep under it; at most one person has a CPF, and a
proof moves it from an account that only declared it, in one transaction; if two people prove it, it is not moved.
"""
