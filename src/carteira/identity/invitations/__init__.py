"""Invitations of administrators: made by a command on the server, accepted by a link, with a second factor enrolled.

Invariants: a link is good once and for three days, a newer one ends the older; nobody is an administrator before they
accepted; what a link's holder cannot do without its 256 bits, no answer helps to guess.
"""
