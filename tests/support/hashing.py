"""Passwords that cost a test nothing: Argon2 as ever, with a thousandth of its work.

A registration and a sign-in cost half a second of processor as the product hashes; the tests do thousands of them.
Servers that run in processes of their own hash as the product does.
"""

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

HASHER = "carteira.identity.users.passwords._hasher"
CHEAP = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
