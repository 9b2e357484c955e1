"""The audit as people see it: who looked at me, and for auditors who did what.

The log itself, its chain and its upkeep are the kit's (`kit.security.audit…`); names and functions are identity's.
"""
