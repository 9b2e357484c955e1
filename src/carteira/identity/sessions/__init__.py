"""Sessions: short access tokens, rotating refresh tokens, and a session's present rights.

Invariants: an access token names a session and carries no claims; a refresh token is used once, and a second use after
ten seconds ends its session; what `standing` caches never outlives a change.
"""
