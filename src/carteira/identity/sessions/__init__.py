"""Sessions: short access tokens, refresh tokens that rotate, and what a session may right now.

Invariants: an access token names a session and carries no claims; a refresh token is used once, and used again after
ten seconds it ends its session; what `standing` remembers never outlives a change.
"""
