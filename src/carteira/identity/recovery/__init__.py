"""Password recovery by a code, to a confirmed e-mail address or a phone.

Invariants: the answer is the same whether or not the name is known; a code lasts ten minutes, one use, five tries; a
reset ends all sessions.
"""
