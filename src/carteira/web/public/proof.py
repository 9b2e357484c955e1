"""A proof of a document, for a third person who scans its code."""

from typing import Annotated

from fastapi import Path, Response

from carteira import documents
from carteira.documents import DocumentState, Proof
from carteira.kit.web.access import public
from carteira.web.formats import moment
from carteira.web.page import OpenPage
from carteira.web.routing import pages
from carteira.web.uploads import vault_of

router = pages("documents")
_PAGE = "public/proof.html"
_MAX_TOKEN = 256


@router.get(
    documents.PROOF_PAGE + "{token}",
    dependencies=[public("a third person scans it; the sealed token says that the holder wanted that")],
)
async def show_proof(token: Annotated[str, Path(max_length=_MAX_TOKEN)], page: OpenPage) -> Response:
    """Show a document's type, holder, validity and assurance, and nothing more."""
    try:
        async with page.database.transaction() as tx:
            proof = await documents.check_proof(tx, vault_of(page.request), token)
    except documents.LinkRefused as error:
        return page.show("public/proof_over.html", status=error.status)
    kind, said = _standing(proof)
    return page.show(_PAGE, proof=proof, kind=kind, said=said)


def _standing(proof: Proof) -> tuple[str, str]:
    """Return a document's assurance with its colour; an unreviewed one is never called valid."""
    if proof.state is DocumentState.REFUSED:
        return "bad", "Recusado na conferência"
    if proof.state is DocumentState.REVIEWED and proof.reviewed_at is not None:
        by = f" por {proof.reviewed_by}" if proof.reviewed_by else ""
        return ("ok" if proof.valid else "bad"), f"Conferido{by}, {moment(proof.reviewed_at)}"
    return ("warn" if proof.valid else "bad"), "Declarado pelo titular, não conferido"
