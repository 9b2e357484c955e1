"""Roles and claims: a role is a label and the claims that it grants when it is given; routes check claims.

Invariant: a change takes effect at once in every process.
"""
