"""Carteira: one identity, one ledger of centavos, one card authorizer, and the modules that stand on them."""

__version__ = "0.10.0.dev0"
