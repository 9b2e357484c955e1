"""The page that a third person sees who opens a proof with a phone's camera."""

from html import escape

from carteira.documents.service import DocumentState, Proof

CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_PAGE = """<!doctype html>
<html lang="pt-BR"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>Comprovação de documento</title>
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:28rem;padding:0 1rem;color:#1b1b1b}}
h1{{font-size:1.4rem}}dt{{color:#555}}dd{{margin:0 0 1rem;font-weight:600}}
.sim{{color:#0a6b2d}}.nao{{color:#a11}}.so{{color:#7a4a00}}</style></head>
<body><h1>Comprovação de documento</h1><dl>
<dt>Situação</dt><dd class="{mark}">{state}</dd>
<dt>Documento</dt><dd>{kind}</dd>
<dt>Titular</dt><dd>{holder}</dd>
<dt>Validade</dt><dd>{expiry}</dd>
</dl><p>Mostrado em {checked}, horário de São Paulo. Este endereço expira em poucos minutos.</p></body></html>
"""


_AT = "%d/%m/%Y às %H:%M"


def _state(proof: Proof) -> tuple[str, str]:
    """Say what stands behind a document, and how it is marked; a document that has expired says so first."""
    if proof.state is DocumentState.REFUSED:
        return "nao", "Recusado na conferência"
    mark, text = "so", "Declarado pelo titular, não conferido"
    if proof.state is DocumentState.REVIEWED and proof.reviewed_at is not None:
        by = proof.reviewed_by or "um operador"
        mark, text = "sim", f"Conferido por {by} em {proof.reviewed_at.strftime(_AT)}"
    return (mark, text) if proof.valid else ("nao", f"Vencido. {text}")


def proof_page(proof: Proof) -> str:
    """Write a proof for a person."""
    mark, state = _state(proof)
    return _PAGE.format(
        mark=mark,
        state=escape(state),
        kind=escape(proof.document_type),
        holder=escape(proof.holder_name or "Não informado"),
        expiry=proof.expires_on.strftime("%d/%m/%Y") if proof.expires_on else "Sem data de validade",
        checked=proof.checked_at.strftime(_AT),
    )
