"""Contact points: the e-mail address and the phone that a person is reached at, and that their account is recovered by.

Invariants: what was given at registration recovers at once; what took its place recovers once it is confirmed *and* its
wait is over, and until then the former one does; the former one is told of the change, by a link that undoes it while
the wait lasts; an address that somebody's account is still recovered by is nobody else's.
"""
