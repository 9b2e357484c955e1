"""Sign-in at gov.br, Google and Meta: authorization code with PKCE, `state` bound to the browser and `nonce`.

Invariants: a provider's account is known by its subject; an e-mail address, whoever asserts it, links nobody.
"""
