"""Proofs: what a holder shows to a third person, by a sealed address that ends in ten minutes."""

from datetime import datetime
from uuid import UUID

from carteira.documents import links, service
from carteira.documents.service import Proof
from carteira.documents.vault import Vault
from carteira.kit.db.session import Tx

PAGE = "/p/"
"""Where a browser shows a proof, before its token."""


async def make(tx: Tx, vault: Vault, user_id: UUID, document_id: UUID) -> tuple[str, datetime]:
    """Make the token of a proof of a person's document; give it with the instant at which it ends.

    Raises:
        DocumentNotFound: there is none, or it is another person's.
        ProofNeedsFile: it has no file.
        DocumentRefused: an operator refused it.
    """
    await service.insist_on_provable(tx, user_id, document_id)
    return links.sign(vault.ring, "proof", user_id, document_id)


async def check(tx: Tx, vault: Vault, token: str) -> Proof:
    """Tell a third person what a proof shows.

    Raises:
        LinkRefused: the token is not ours, was changed or has ended, or the document is no longer there.
    """
    user_id, document_id = links.read(vault.ring, "proof", token)
    return await service.prove(tx, vault.holder_name, user_id, document_id)
