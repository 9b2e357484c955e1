"""Benefits."""

from carteira.kit.module import Module


def module(*, strategy: str, jwt_secret: str) -> Module:
    """Hand over."""
    return Module(name="benefits")
