"""Sign-in at gov.br, Google and Meta: authorization code with PKCE, `state` bound to the browser and `nonce`.

Invariants: a provider's account is identified by its subject; an e-mail address never links accounts, whoever asserts
it.
"""
