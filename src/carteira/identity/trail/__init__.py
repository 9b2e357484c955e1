"""The audit for readers: a person sees the looks at their data, an auditor sees all acts.

The log itself and its chain are the kit's (`kit.security.audit…`); names and functions are identity's.
"""
