"""Password recovery by a code, to a confirmed e-mail address or a phone.

Invariants: the answer is the same whether or not the name is known; a code is valid for ten minutes, one use and five
tries; a reset ends all sessions.
"""
