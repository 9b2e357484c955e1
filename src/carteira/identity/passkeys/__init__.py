"""Passkeys (W3C Web Authentication): registered by a signed-in person, asserted to sign in.

Invariants: a challenge is used once; the authenticator verifies the person; a cloned key is refused.
"""
