"""The console's screens, and which of them an operator sees: those whose claims they hold."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from carteira.kit.web.access import EVERY_CLAIM, OWN_CLAIMS, Principal
from carteira.web.config import WebConfig

HOME = "/console"
EXPORT = "lists:export"
"""The claim for downloading a list, beside its screen's claim."""


@dataclass(frozen=True, slots=True)
class Screen:
    """A screen of the side bar; it needs all of its `claims` (none: any operator's claim)."""

    path: str
    icon: str
    name: str
    claims: tuple[str, ...] = ()
    module: str = ""

    @property
    def help(self) -> str:
        """The template of its help."""
        name = self.path.removeprefix(HOME).strip("/").replace("/", "-") or "painel"
        return f"console/help/{name}.html"

    def opens_for(self, held: Collection[str]) -> bool:
        """Return whether an operator with these claims can open it."""
        return EVERY_CLAIM in held or set(self.claims) <= set(held)

    def is_current(self, path: str) -> bool:
        """Return whether a page belongs to this screen."""
        return path == self.path or (self.path != HOME and path.startswith(f"{self.path}/"))


@dataclass(frozen=True, slots=True)
class ScreenGroup:
    """Screens under one heading."""

    name: str
    screens: tuple[Screen, ...]


GROUPS = (
    ScreenGroup(
        "Operação",
        (
            Screen(HOME, "pulse", "Painel"),
            Screen("/console/pendencias", "bell", "Pendências"),
            Screen("/console/autorizacoes", "card", "Autorizações", ("benefits:read",), "benefits"),
            Screen("/console/simulador", "bolt", "Simulador", ("benefits:read",), "benefits"),
            Screen("/console/pessoas", "users", "Pessoas", ("users:read",)),
            Screen("/console/pedidos", "shield", "Pedidos de titulares", ("users:read",)),
            Screen("/console/cpfs-em-disputa", "finger", "CPFs em disputa", ("identity:prove",)),
        ),
    ),
    ScreenGroup(
        "Benefícios",
        (
            Screen("/console/contas", "coins", "Contas", ("benefits:read",), "benefits"),
            Screen("/console/contas-em-lote", "file", "Contas em lote", ("benefits:write",), "benefits"),
            Screen("/console/recargas", "up", "Créditos em lote", ("benefits:write",), "benefits"),
            Screen("/console/agendamentos", "cal", "Agendamentos", ("benefits:write",), "benefits"),
            Screen("/console/empresas", "users", "Empresas", ("benefits:read",), "benefits"),
            Screen("/console/estabelecimentos", "store", "Estabelecimentos", ("benefits:write",), "benefits"),
        ),
    ),
    ScreenGroup(
        "Pix",
        (
            Screen("/console/cobrancas", "qr", "Cobranças", ("payments:read",), "payments"),
            Screen("/console/recebidos", "in", "Recebidos e devoluções", ("payments:read",), "payments"),
            Screen("/console/conferencia", "scale", "Conferência", ("payments:read",), "payments"),
        ),
    ),
    ScreenGroup(
        "Revendas",
        (
            Screen("/console/compras", "check", "Compras", ("purchases:read",), "resellers"),
            Screen("/console/meses", "cal", "Meses e cashback", ("purchases:read",), "resellers"),
            Screen("/console/revendedores", "users", "Revendedores", ("purchases:read",), "resellers"),
            Screen("/console/faixas", "percent", "Faixas de cashback", ("purchases:read",), "resellers"),
            Screen(
                "/console/aprovacoes-automaticas", "bolt", "Aprovações automáticas", ("purchases:approve",), "resellers"
            ),
        ),
    ),
    ScreenGroup(
        "Crédito",
        (
            Screen(
                "/console/credito", "scale", "Consulta", ("credit:a:read", "credit:b:read", "credit:c:read"), "credit"
            ),
            Screen("/console/desfechos", "check", "Desfechos", ("credit:outcomes:write",), "credit"),
            Screen("/console/modelos", "scale", "Modelos", ("credit:models:read",), "credit"),
            Screen("/console/consultas-de-credito", "eye", "Quem consultou", ("credit:audit",), "credit"),
        ),
    ),
    ScreenGroup(
        "Cidade",
        (
            Screen("/console/documentos", "doc", "Documentos", ("documents:review",), "documents"),
            Screen("/console/viagens", "bus", "Viagens a decidir", ("transit:review",), "transit"),
            Screen("/console/cartoes", "card", "Cartões", ("transit:review",), "transit"),
            Screen("/console/dividas", "coins", "Dívidas de viagens", ("transit:review",), "transit"),
            Screen("/console/atendimentos", "chat", "Atendimentos", ("assistant:read",), "assistant"),
            Screen("/console/assuntos", "book", "Assuntos", ("assistant:read",), "assistant"),
            Screen("/console/perguntas", "info", "Perguntas sem resposta", ("assistant:read",), "assistant"),
        ),
    ),
    ScreenGroup(
        "Sistema",
        (
            Screen("/console/auditoria", "shield", "Auditoria", ("audit:read",)),
            Screen("/console/livro-razao", "scale", "Livro-razão", ("ledger:read",)),
            Screen("/console/papeis", "key", "Papéis e permissões", ("users:write",)),
            Screen("/console/clientes", "key", "Clientes", ("clients:read",)),
            Screen("/console/webhooks", "hook", "Webhooks", ("webhooks:read",), "webhooks"),
            Screen("/console/trabalhos", "refresh", "Trabalhos", ("house:read",)),
            Screen("/console/eventos", "pulse", "Eventos", ("house:read",)),
            Screen("/console/chaves-e-backups", "lock", "Chaves e backups", ("house:read",)),
            Screen("/console/configuracao", "gear", "Configuração", ("house:read",)),
        ),
    ),
)
"""The side bar's groups of screens."""


@dataclass(frozen=True, slots=True)
class ConsoleNavigation:
    """The console's navigation, for templates and error pages."""

    groups: tuple[ScreenGroup, ...]

    def of(self, who: Principal | None) -> list[ScreenGroup]:
        """Return the screens that an operator sees, by group."""
        if not opens_console(who):
            return []
        found = (ScreenGroup(group.name, tuple(_found(group.screens, who))) for group in self.groups)
        return [group for group in found if group.screens]

    def first_path(self, who: Principal | None) -> str:
        """Return an operator's first page: the panel, or their only screen."""
        paths = [screen.path for group in self.of(who) for screen in group.screens if screen.path != HOME]
        return paths[0] if len(paths) == 1 else HOME

    def at(self, path: str) -> Screen | None:
        """Return the screen that a page belongs to."""
        screens = (screen for group in self.groups for screen in group.screens)
        return next((screen for screen in screens if screen.is_current(path)), None)

    def opens(self, who: Principal | None, path: str) -> bool:
        """Return whether an operator sees the screen that a page belongs to."""
        screen = self.at(path)
        return who is not None and screen is not None and screen.opens_for(who.claims)


def _found(screens: Iterable[Screen], who: Principal | None) -> Iterable[Screen]:
    held = frozenset[str]() if who is None else who.claims
    return (screen for screen in screens if screen.opens_for(held))


def opens_console(who: Principal | None) -> bool:
    """Return whether a person is an operator: they hold a claim to more than their own things."""
    return who is not None and bool(who.claims - OWN_CLAIMS)


def console_navigation(config: WebConfig, known: frozenset[str]) -> ConsoleNavigation:
    """Return this process's navigation, without screens that have no page or whose module is off."""
    there = (
        ScreenGroup(
            group.name,
            tuple(
                screen
                for screen in group.screens
                if screen.path in known and (not screen.module or screen.module in config.modules)
            ),
        )
        for group in GROUPS
    )
    return ConsoleNavigation(tuple(group for group in there if group.screens))
