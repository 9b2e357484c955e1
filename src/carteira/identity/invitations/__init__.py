"""Invitations of administrators: made by a command on the server, accepted by a link, with an enrolled second factor.

Invariants: a link is valid once, for three days, and a newer one replaces it; nobody is an administrator before they
accept; no answer helps to guess a link's 256 bits.
"""
