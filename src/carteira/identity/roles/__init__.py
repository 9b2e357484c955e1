"""Roles and claims: a role is a label and the claims that it grants when it is given; claims are what routes check.

Invariant: a change holds at once in every process.
"""
