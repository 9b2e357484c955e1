"""The payer's page of the stand-in provider: the part of a bank's app that paying needs."""

from datetime import datetime
from html import escape

from carteira.kit.values.money import format_brl
from carteira.payments.sandbox_books import SandboxCharge

_PAGE = """<!doctype html>
<html lang="pt-BR"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Banco de mentira</title>
<style>body{{font:1.1rem system-ui;max-width:32rem;margin:2rem auto;padding:0 1rem;line-height:1.5}}
textarea{{width:100%;box-sizing:border-box}}button{{font:inherit;padding:.6rem 1.4rem}}</style>
<h1>Banco de mentira</h1><p>Isto é uma simulação: nenhum dinheiro de verdade se move.</p>{body}</html>"""


def front(problem: str = "") -> str:
    """Draw the page on which a code is pasted."""
    alert = f"<p role=alert><strong>{escape(problem)}</strong></p>" if problem else ""
    return _PAGE.format(
        body=f"""{alert}<form method="post" action="/pagar"><label for="codigo">Pix Copia e Cola</label>
<p><textarea id="codigo" name="codigo" rows="6" required></textarea></p><button>Continuar</button></form>"""
    )


def charge(found: SandboxCharge, now: datetime) -> str:
    """Draw a charge: its amount, and the button that pays it."""
    if found.is_paid:
        what = "<p><strong>Pago.</strong> Pode voltar para a carteira.</p>"
    elif found.is_open(now):
        what = '<form method="post"><button>Pagar</button></form>'
    else:
        what = "<p><strong>Esta cobrança venceu.</strong></p>"
    return _PAGE.format(body=f"<h2>{escape(format_brl(found.amount))}</h2>{what}<p><a href='/'>Outro código</a></p>")
