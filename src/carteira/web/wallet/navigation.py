"""The wallet's entries, without those whose module is off or whose page does not exist."""

from collections.abc import Callable
from dataclasses import dataclass

from carteira.kit.web.access import Principal
from carteira.web.config import WebConfig
from carteira.web.console.screens import opens_console

PHONE, WIDE, APART = "nav__phone", "nav__wide", "nav__wide nav__gap"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the bar and the menu: `PHONE` only on phones, `WIDE` only on wide screens, else both."""

    path: str
    icon: str
    name: str
    place: str = ""
    module: str = ""
    staff: bool = False
    """Whether only operators see it."""
    hint: str = ""
    """Its description in the menu."""

    def is_current(self, path: str) -> bool:
        """Return whether a page belongs to this entry."""
        return path == self.path or (self.path != "/app" and path.startswith(f"{self.path}/"))


ENTRIES = (
    Entry("/app", "home", "Início"),
    Entry("/app/extrato", "list", "Extrato"),
    Entry("/app/transporte", "bus", "Transporte", module="transit"),
    Entry("/app/documentos", "doc", "Documentos", module="documents"),
    Entry("/app/menu", "menu", "Menu", PHONE),
    Entry("/app/beneficios", "coins", "Benefícios", WIDE, module="benefits", hint="Onde cada saldo passa, e convites"),
    Entry("/app/vendas", "percent", "Vendas e cashback", WIDE, module="resellers"),
    Entry("/app/assistente", "chat", "Assistente", WIDE, module="assistant", hint="Perguntar, ou falar com uma pessoa"),
    Entry("/app/avisos", "bell", "Avisos", WIDE),
    Entry("/console", "pulse", "Console", WIDE, staff=True),
    Entry("/app/dados", "shield", "Meus dados", APART, hint="Quem viu, corrigir, baixar, encerrar a conta"),
    Entry("/app/acesso", "key", "Acesso e segurança", WIDE, hint="Aparelhos, chaves e duas etapas"),
    Entry("/app/menu", "gear", "Ajustes e sair", WIDE),
)


def navigation(config: WebConfig, known: frozenset[str]) -> Callable[[Principal | None], list[Entry]]:
    """Return the function that templates call for a person's entries; `known` are the existing pages' paths."""
    there = [entry for entry in ENTRIES if entry.path in known and (not entry.module or entry.module in config.modules)]

    def of(who: Principal | None) -> list[Entry]:
        return [entry for entry in there if not entry.staff or opens_console(who)]

    return of
