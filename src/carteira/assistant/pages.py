"""The wallet's pages that an answer may send somebody to: their addresses, not how they are made."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PageLink:
    """A page of the wallet: its address and its heading, as the person reads it there."""

    path: str
    title: str
    module: str | None = None
    """The module that must be on."""


PAGES = {
    page.path: page
    for page in (
        PageLink("/app/transporte", "Transporte", "transit"),
        PageLink("/app/documentos", "Documentos", "documents"),
        PageLink("/app/documentos/enviar", "Guardar documento", "documents"),
        PageLink("/app/beneficios", "Benefícios", "benefits"),
        PageLink("/app/vendas", "Vendas e cashback", "resellers"),
        PageLink("/app/extrato", "Extrato"),
        PageLink("/app/avisos", "Avisos"),
        PageLink("/app/dados", "Meus dados"),
        PageLink("/app/dados/cadastro", "Meu cadastro"),
        PageLink("/app/dados/cpf", "Comprovar meu CPF"),
        PageLink("/app/dados/consentimentos", "Consentimentos"),
        PageLink("/app/dados/baixar", "Baixar tudo sobre mim"),
        PageLink("/app/dados/encerrar", "Encerrar minha conta"),
        PageLink("/app/acesso", "Acesso e segurança"),
        PageLink("/app/acesso/duas-etapas", "Verificação em duas etapas"),
        PageLink("/app/nova-senha", "Trocar a senha"),
        PageLink("/app/senha", "Esqueci a senha"),
    )
}
