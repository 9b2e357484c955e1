"""Writes the dashboards of `deploy/monitoring/grafana/dashboards`: each panel is its title, unit and queries here."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "deploy" / "monitoring" / "grafana" / "dashboards"
_WIDTH, _HEIGHT = 12, 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """A graph of one or several queries, with the legend of each."""

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    kind: str = "timeseries"
    about: str = ""


@dataclass(frozen=True)
class Dashboard:
    """A page of panels, in rows."""

    name: str
    title: str
    rows: Sequence[tuple[str, Sequence[Panel]]]

    @property
    def panels(self) -> Iterator[Panel]:
        """All panels, row by row."""
        for _, panels in self.rows:
            yield from panels


def _rate(metric: str, labels: str = "") -> str:
    return f"rate({metric}{{{labels}}}[$__rate_interval])" if labels else f"rate({metric}[$__rate_interval])"


def _by(label: str, metric: str, labels: str = "") -> str:
    """Return a rate by a label; 0 where nothing has been counted yet."""
    return f"sum by ({label}) ({_rate(metric, labels)}) or on() vector(0)"


def _total(metric: str, labels: str = "") -> str:
    return f"(sum({_rate(metric, labels)}) or vector(0))"


def _share(part: str, whole: str) -> str:
    return f"{part} / clamp_min({whole}, 0.001)"


def _group(query: str) -> str:
    """Return a query with the first part of the route as the label `group`."""
    return f'label_replace({query}, "group", "/$1", "route", "/?([^/]*).*")'


def _quantile(share: float, metric: str, by: str = "le") -> str:
    return f"histogram_quantile({share}, sum by ({by}) ({_rate(f'{metric}_bucket')}))"


_REQUESTS = "carteira_http_requests_total"
_CPU = "carteira_process_cpu_seconds_total"
_ALL_GROUPS = f"sum by (group) ({_group(_rate(_REQUESTS))})"
_WRONG_GROUPS = "sum by (group) (" + _group(_rate(_REQUESTS, 'status=~"5.."')) + ")"
_SLOW_GROUPS = f"sum by (le, group) ({_group(_rate('carteira_http_request_seconds_bucket'))})"
_AUTHORIZATIONS = "carteira_authorizations_total"
_FAULTS = 'reason=~"unavailable|internal_error|overloaded|account_held_up"'
_SECONDS = "carteira_authorization_seconds"
_IN_TIME = _total(f"{_SECONDS}_bucket", 'le="0.1"')

OPERATION = Dashboard(
    "operacao",
    "Carteira: operação",
    [
        (
            "Sinais de ouro, por grupo de rotas",
            [
                Panel("Tráfego: pedidos por segundo", "reqps", [(_ALL_GROUPS, "{{group}}")]),
                Panel(
                    "Erros: parte dos pedidos que termina em 5xx",
                    "percentunit",
                    [(f"({_WRONG_GROUPS} or 0 * {_ALL_GROUPS}) / ({_ALL_GROUPS} > 0)", "{{group}}")],
                ),
                Panel("Latência: p99", "s", [(f"histogram_quantile(0.99, {_SLOW_GROUPS})", "{{group}}")]),
                Panel("Latência: p50", "s", [(f"histogram_quantile(0.5, {_SLOW_GROUPS})", "{{group}}")]),
                Panel("Respostas por situação", "reqps", [(_by("status", _REQUESTS), "{{status}}")]),
                Panel(
                    "Orçamento de erros: quantas vezes o ritmo que gasta 0,1 % em 30 dias",
                    "short",
                    [
                        ("carteira:unavailable:ratio_rate5m / 0.001", "{{service}}, 5 min"),
                        ("carteira:unavailable:ratio_rate1h / 0.001", "{{service}}, 1 h"),
                    ],
                ),
            ],
        ),
        (
            "Saturação",
            [
                Panel(
                    "Em andamento",
                    "short",
                    [
                        ("sum(carteira_http_requests_under_way)", "pedidos HTTP"),
                        ("sum(carteira_authorizations_under_way)", "autorizações"),
                        ("sum(carteira_http_connections)", "conexões"),
                    ],
                ),
                Panel(
                    "Recusado por excesso, por segundo",
                    "reqps",
                    [
                        (_by("reason", "carteira_http_connections_refused_total"), "conexão: {{reason}}"),
                        (_by("work", "carteira_work_turned_away_total"), "trabalho: {{work}}"),
                    ],
                ),
                Panel(
                    "Conexões com o PostgreSQL, por pool",
                    "short",
                    [
                        ("sum by (pool) (carteira_database_connections_used)", "{{pool}}: em uso"),
                        ("sum by (pool) (carteira_database_connections_most)", "{{pool}}: no máximo"),
                    ],
                ),
                Panel(
                    "Esperas por uma conexão, por segundo",
                    "cps",
                    [(_by("pool", "carteira_database_connection_waits_total"), "{{pool}}")],
                ),
                Panel(
                    "Processador: segundos por segundo",
                    "short",
                    [
                        (
                            f"sum by (job, instance) ({_rate(_CPU)})",
                            "{{job}} {{instance}}",
                        )
                    ],
                ),
                Panel(
                    "Memória residente",
                    "bytes",
                    [("sum by (job, instance) (carteira_process_resident_bytes)", "{{job}} {{instance}}")],
                ),
                Panel("Processos que respondem", "short", [("up", "{{job}} {{instance}}")]),
                Panel(
                    "Erros inesperados por segundo",
                    "cps",
                    [(_by("kind", "carteira_errors_total"), "{{kind}}")],
                ),
            ],
        ),
        (
            "Seguidores",
            [
                Panel(
                    "Eventos por tratar", "short", [("max by (follower) (carteira_follower_lag_rows)", "{{follower}}")]
                ),
                Panel(
                    "Idade do evento mais antigo por tratar",
                    "s",
                    [("max by (follower) (carteira_follower_oldest_seconds)", "{{follower}}")],
                ),
                Panel(
                    "Eventos tratados por segundo",
                    "cps",
                    [(_by("follower", "carteira_follower_rows_total"), "{{follower}}")],
                ),
                Panel(
                    "Último sinal de um worker",
                    "s",
                    [("time() - max(carteira_worker_seen_timestamp_seconds)", "há")],
                    "stat",
                ),
            ],
        ),
        (
            "Trabalhos",
            [
                Panel(
                    "Fila",
                    "short",
                    [("max(carteira_jobs_waiting)", "esperam"), ("max(carteira_jobs_failed)", "abandonados")],
                ),
                Panel("Espera do mais antigo", "s", [("max(carteira_job_oldest_seconds)", "espera")]),
                Panel(
                    "Execuções por segundo",
                    "cps",
                    [(_by("task, outcome", "carteira_jobs_total"), "{{task}} {{outcome}}")],
                ),
                Panel("Duração: p95", "s", [(_quantile(0.95, "carteira_job_seconds", "le, task"), "{{task}}")]),
            ],
        ),
    ],
)
AUTHORIZER = Dashboard(
    "autorizador",
    "Carteira: autorizador",
    [
        (
            "Respostas",
            [
                Panel("Autorizações por segundo, por código", "reqps", [(_by("code", _AUTHORIZATIONS), "{{code}}")]),
                Panel(
                    "Tempo de resposta",
                    "s",
                    [(_quantile(share, _SECONDS), f"p{100 * share:g}") for share in (0.5, 0.99, 0.999)],
                ),
                Panel(
                    "Parte respondida em mais de 100 ms",
                    "percentunit",
                    [
                        (
                            _share(
                                f"({_total(f'{_SECONDS}_count')} - {_IN_TIME})",
                                _total(f"{_SECONDS}_count"),
                            ),
                            "lentas",
                        )
                    ],
                ),
                Panel(
                    "Recusas por falha nossa",
                    "percentunit",
                    [(_share(_total(_AUTHORIZATIONS, _FAULTS), _total(_AUTHORIZATIONS)), "das respostas")],
                ),
                Panel(
                    "Recusas (07) por motivo", "reqps", [(_by("reason", _AUTHORIZATIONS, 'code="07"'), "{{reason}}")]
                ),
                Panel(
                    "Orçamento de latência: quantas vezes o ritmo que gasta 1 % em 30 dias",
                    "short",
                    [
                        ("carteira:authorizer_late:ratio_rate5m / 0.01", "5 min"),
                        ("carteira:authorizer_late:ratio_rate1h / 0.01", "1 h"),
                    ],
                ),
            ],
        ),
        (
            "Fila",
            [
                Panel(
                    "À espera",
                    "short",
                    [
                        ("sum(carteira_authorizations_under_way)", "de uma decisão"),
                        ("sum(carteira_authorizations_held_up)", "da conta, travada por outro"),
                    ],
                ),
                Panel(
                    "O processador pergunta e desfaz",
                    "reqps",
                    [
                        (_by("state", "carteira_processor_queries_total"), "pergunta: {{state}}"),
                        (_by("code", "carteira_processor_reversals_total"), "desfaz: {{code}}"),
                    ],
                ),
            ],
        ),
    ],
)
MONEY = Dashboard(
    "dinheiro",
    "Carteira: dinheiro",
    [
        (
            "Volumes",
            [
                Panel(
                    "Parte das compras que é aprovada",
                    "percentunit",
                    [
                        (
                            _share(_total(_AUTHORIZATIONS, 'code="00"'), _total(_AUTHORIZATIONS, 'code=~"00|51"')),
                            "aprovadas",
                        )
                    ],
                    about="Entre as que foram decididas: aprovadas, ou sem saldo.",
                ),
                Panel("Compras aprovadas por segundo", "cps", [(_total(_AUTHORIZATIONS, 'code="00"'), "aprovadas")]),
                Panel(
                    "Contas do operador, em reais",
                    "currencyBRL",
                    [("max by (kind) (carteira_ledger_system_balance_centavos) / 100", "{{kind}}")],
                    about="Positivo: o operador deve (a lojistas, por exemplo); negativo: entrou de fora.",
                ),
                Panel(
                    "Movido na última hora, em reais",
                    "currencyBRL",
                    [("max by (kind) (delta(carteira_ledger_system_balance_centavos[1h])) / 100", "{{kind}}")],
                ),
                Panel(
                    "Transporte: reais por segundo",
                    "currencyBRL",
                    [
                        (
                            f"sum by (type) ({_rate('carteira_transit_moved_centavos_total')}) / 100 or on() vector(0)",
                            "{{type}}",
                        )
                    ],
                ),
                Panel(
                    "Cashback: reais por segundo",
                    "currencyBRL",
                    [
                        (f"{_total(f'carteira_resellers_cashback_{what}_centavos_total')} / 100", legend)
                        for what, legend in (("credited", "creditado"), ("spent", "gasto"), ("given_back", "devolvido"))
                    ],
                ),
            ],
        ),
        (
            "Pix",
            [
                Panel(
                    "Reais por segundo",
                    "currencyBRL",
                    [
                        (f"{_total('carteira_payments_received_centavos_total')} / 100", "recebidos"),
                        (f"{_total('carteira_payments_lost_centavos_total')} / 100", "devolvidos depois de gastos"),
                    ],
                ),
                Panel(
                    "Pagamentos e devoluções por segundo",
                    "cps",
                    [
                        (_by("outcome", "carteira_payments_received_total"), "pagamento: {{outcome}}"),
                        (_by("outcome", "carteira_payments_returns_total"), "devolução: {{outcome}}"),
                    ],
                ),
                Panel(
                    "Diferenças com a lista do provedor",
                    "short",
                    [("max by (kind) (carteira_payments_unreconciled)", "{{kind}}")],
                    "stat",
                ),
                Panel(
                    "Última conferência com o provedor",
                    "s",
                    [
                        ("time() - max(carteira_payments_reconciled_timestamp_seconds)", "de um dia, há"),
                        ("time() - max(carteira_payments_read_until_timestamp_seconds)", "lista lida até há"),
                    ],
                    "stat",
                ),
                Panel(
                    "Pagamentos à espera de devolução por um operador",
                    "short",
                    [("max(carteira_payments_to_return)", "pagamentos")],
                    "stat",
                ),
                Panel(
                    "Devolução mais antiga à espera do provedor",
                    "s",
                    [("max(carteira_payments_return_oldest_seconds)", "há")],
                    "stat",
                ),
            ],
        ),
        (
            "Conferência",
            [
                Panel(
                    "Diferenças na última conferência",
                    "short",
                    [("max by (check) (carteira_ledger_findings)", "{{check}}")],
                    "stat",
                ),
                Panel(
                    "Última conferência",
                    "s",
                    [
                        ("time() - max by (check) (carteira_ledger_checked_timestamp_seconds)", "{{check}}, há"),
                        (
                            "time() - max by (check) (carteira_ledger_checked_whole_timestamp_seconds)",
                            "{{check}} de tudo, há",
                        ),
                    ],
                    "stat",
                ),
                Panel(
                    "Cadeia: blocos",
                    "short",
                    [
                        ("max(carteira_ledger_chain_height)", "livro-razão"),
                        ("max(carteira_audit_chain_height)", "auditoria"),
                    ],
                ),
                Panel(
                    "À espera de uma segunda pessoa",
                    "short",
                    [("max by (kind) (carteira_pending_operations) or on() vector(0)", "{{kind}}")],
                ),
                Panel(
                    "Revendedores: compras por situação, por segundo",
                    "cps",
                    [(_by("status", "carteira_resellers_purchases_total"), "{{status}}")],
                ),
                Panel(
                    "Meses de cashback por fechar",
                    "short",
                    [("max(carteira_resellers_overdue_months) or vector(0)", "meses")],
                    "stat",
                ),
            ],
        ),
    ],
)
PEOPLE = Dashboard(
    "pessoas",
    "Carteira: pessoas",
    [
        (
            "Entrada",
            [
                Panel(
                    "Entradas por segundo",
                    "cps",
                    [
                        (_total("carteira_audit_acts_total", 'action="sign_in"'), "entraram"),
                        (_total("carteira_audit_acts_total", 'action="sign_in_failed"'), "não conseguiram"),
                    ],
                ),
                Panel(
                    "Parte das entradas que falha",
                    "percentunit",
                    [
                        (
                            _share(
                                _total("carteira_audit_acts_total", 'action="sign_in_failed"'),
                                _total("carteira_audit_acts_total", 'action=~"sign_in|sign_in_failed"'),
                            ),
                            "falham",
                        )
                    ],
                ),
                Panel(
                    "Códigos errados por segundo",
                    "cps",
                    [(_by("purpose", "carteira_wrong_codes_total"), "{{purpose}}")],
                ),
                Panel(
                    "Máquinas: tokens pedidos por segundo",
                    "cps",
                    [(_by("outcome", "carteira_client_tokens_total"), "{{outcome}}")],
                ),
                Panel(
                    "Pedidos recusados por segundo",
                    "reqps",
                    [(_by("status", _REQUESTS, 'status=~"401|403|409|422|429"'), "{{status}}")],
                    about="401: sem entrar; 403: sem permissão; 429: pedidos demais.",
                ),
                Panel(
                    "CPFs comprovados por segundo",
                    "cps",
                    [(_by("by, outcome", "carteira_cpf_proofs_total"), "{{by}} {{outcome}}")],
                ),
            ],
        ),
        (
            "O que fazem",
            [
                Panel(
                    "Atos na auditoria, por segundo",
                    "cps",
                    [(_by("action", "carteira_audit_acts_total"), "{{action}}")],
                ),
                Panel(
                    "Assistente: perguntas por segundo",
                    "cps",
                    [(_by("result", "carteira_assistant_answers_total"), "{{result}}")],
                ),
                Panel(
                    "Documentos por segundo",
                    "cps",
                    [
                        (_by("content_type", "carteira_documents_files_stored_total"), "guardados: {{content_type}}"),
                        (_by("code", "carteira_documents_files_refused_total"), "recusados: {{code}}"),
                    ],
                ),
                Panel(
                    "Mensagens retidas por segundo",
                    "cps",
                    [(_by("kind", "carteira_messages_left_out_total"), "{{kind}}")],
                ),
            ],
        ),
    ],
)
DASHBOARDS = (OPERATION, AUTHORIZER, MONEY, PEOPLE)


def rendered(dashboard: Dashboard) -> str:
    """Return a dashboard as Grafana reads it."""
    made: list[dict[str, Any]] = []
    y = 0
    for title, panels in dashboard.rows:
        made.append(
            {"id": len(made) + 1, "type": "row", "title": title, "gridPos": _at(0, y, 24, 1), "collapsed": False}
        )
        for place, panel in enumerate(panels):
            x, row = place % 2 * _WIDTH, place // 2
            made.append(_panel(len(made) + 1, panel, _at(x, y + 1 + row * _HEIGHT, _WIDTH, _HEIGHT)))
        y += 1 + (len(panels) + 1) // 2 * _HEIGHT
    whole = {
        "uid": f"carteira-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["carteira"],
        "schemaVersion": 39,
        "timezone": "America/Sao_Paulo",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Fonte"}]},
        "links": [{"type": "dashboards", "tags": ["carteira"], "title": "Carteira", "asDropdown": False}],
        "panels": made,
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def _at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _SOURCE, "expr": query, "legendFormat": legend}
            for place, (query, legend) in enumerate(panel.queries)
        ],
    }


def write() -> None:
    """Write them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.name}.json").write_text(rendered(dashboard))


if __name__ == "__main__":
    write()
