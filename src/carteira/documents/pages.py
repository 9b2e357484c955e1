"""The page that a third person sees who opens a proof with a phone's camera."""

from html import escape

from carteira.documents.service import Proof

CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_PAGE = """<!doctype html>
<html lang="pt-BR"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>Comprovação de documento</title>
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:28rem;padding:0 1rem;color:#1b1b1b}}
h1{{font-size:1.4rem}}dt{{color:#555}}dd{{margin:0 0 1rem;font-weight:600}}
.sim{{color:#0a6b2d}}.nao{{color:#a11}}</style></head>
<body><h1>Comprovação de documento</h1><dl>
<dt>Situação</dt><dd class="{mark}">{state}</dd>
<dt>Documento</dt><dd>{kind}</dd>
<dt>Titular</dt><dd>{holder}</dd>
<dt>Validade</dt><dd>{expiry}</dd>
</dl><p>Conferido em {checked} (UTC). Este endereço expira em poucos minutos.</p></body></html>
"""


def proof_page(proof: Proof) -> str:
    """Write a proof for a person."""
    return _PAGE.format(
        mark="sim" if proof.valid else "nao",
        state="Válido" if proof.valid else "Vencido",
        kind=escape(proof.document_type),
        holder=escape(proof.holder_name or "Não informado"),
        expiry=proof.expires_on.strftime("%d/%m/%Y") if proof.expires_on else "Sem data de validade",
        checked=proof.checked_at.strftime("%d/%m/%Y %H:%M"),
    )
