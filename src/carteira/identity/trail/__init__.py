"""The audit for readers: a person sees who looked at them, an auditor who did what.

The log itself and its chain are the kit's (`kit.security.audit…`); names and functions are identity's.
"""
