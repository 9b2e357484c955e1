"""Contact points: the e-mail address and the phone that reach a person and recover their account.

Invariants: the contact point of the registration recovers the account at once; a changed one recovers it once it is
confirmed *and* its wait has passed, and until then the former one does; the former one gets a message with a link that
undoes the change during the wait; no other account can have an address that still recovers one.
"""
