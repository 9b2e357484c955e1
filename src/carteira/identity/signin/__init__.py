"""Sign-in by CPF or e-mail and password, and the second factor.

Invariants: a wrong password takes as long as a right one; only failures count against limits; each way of signing in
ends in `sessions.service.start_session`; an authenticator's code and a recovery code are used once.
"""
