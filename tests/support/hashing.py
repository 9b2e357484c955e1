"""Cheap passwords for tests: Argon2 with a thousandth of its work.

With the product's parameters a registration and a sign-in take half a second of processor time, and the tests do
thousands of them. Servers in processes of their own hash as the product does.
"""

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

HASHER = "carteira.identity.users.passwords._hasher"
CHEAP = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
