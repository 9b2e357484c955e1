"""Proofs: a holder shows one to a third person by a sealed address that is valid for ten minutes."""

from datetime import datetime
from uuid import UUID

from carteira.documents import links, service
from carteira.documents.service import Proof
from carteira.documents.vault import Vault
from carteira.kit.db.session import Tx

PAGE = "/p/"
"""The path of a proof's page, before its token."""


async def make(tx: Tx, vault: Vault, user_id: UUID, document_id: UUID) -> tuple[str, datetime]:
    """Return the token of a proof of a person's document, and its expiry.

    Raises:
        DocumentNotFound: there is none, or it is another person's.
        ProofNeedsFile: it has no file.
        DocumentRefused: an operator refused it.
    """
    await service.require_provable(tx, user_id, document_id)
    return links.sign(vault.ring, "proof", user_id, document_id)


async def check(tx: Tx, vault: Vault, token: str) -> Proof:
    """Return the content of a proof for a third person.

    Raises:
        LinkRefused: the token is foreign, was changed or has expired, or the document was deleted.
    """
    user_id, document_id = links.read(vault.ring, "proof", token)
    return await service.prove(tx, vault.holder_name, user_id, document_id)
