"""Tokens, sealing, rate limits and the audit, which all modules may use."""
