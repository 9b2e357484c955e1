"""`carteira doctor`: checks everything that an installation needs, and gives advice."""

from typing import Annotated

import typer
from pydantic import ValidationError

from carteira.cli import errors, launcher
from carteira.cli.terminal import (
    DOT_ENV,
    HOW_A_LINE_IS,
    misspelt_names,
    names_set_twice,
    run_quietly,
    unread_lines,
    where_to_set,
)
from carteira.settings import Settings


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Em JSON.")] = False,
) -> None:
    """Confere configuração, chaves, conexões, relógio, disco, migrações e direitos, e diz o que fazer.

    Sai com 1 se algo falhar.
    """
    from carteira.cli.findings import print_findings
    from carteira.doctor.findings import Diagnosis, fail, warn

    found: list[Diagnosis] = [
        warn("configuração", f"{name} não é uma configuração", f"seria {meant}?") for name, meant in misspelt_names()
    ]
    found += [
        fail("configuração", f"a linha {line} de {DOT_ENV} não foi entendida", HOW_A_LINE_IS) for line in unread_lines()
    ]
    found += [
        warn("configuração", f"{name} tem dois valores em {DOT_ENV}", f"vale o da linha {line}: apague o outro")
        for name, line in names_set_twice()
    ]
    try:
        settings: Settings | None = launcher.settings_of_running_server()
    except (ValidationError, UnicodeDecodeError) as error:
        settings = None
        found += [fail("configuração", text, where_to_set(text)) for text in errors.faults_of_settings(error)]
    if settings is not None:
        from carteira.doctor.examination import examine
        from carteira.kit.ops import log

        log.configure(level="error", form=settings.log_format)  # errors are findings, not log lines
        here = settings
        found += run_quietly("Examinando", lambda: examine(here, errors.sentence_of))
    print_findings(found, as_json=as_json)
