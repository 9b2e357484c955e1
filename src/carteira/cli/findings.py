"""Prints findings, one line each or as JSON; a failure ends a command with exit code 1."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.markup import escape

from carteira.cli.terminal import out
from carteira.doctor import Diagnosis, worst

_MARKS = {"ok": "[green]ok     [/]", "warn": "[yellow]atenção[/]", "fail": "[bold red]falha  [/]"}


def print_findings(findings: Sequence[Diagnosis], *, as_json: bool) -> None:
    """Print findings; exit with 1 if one of them is a failure."""
    if as_json:
        document = {"level": worst(findings), "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    else:
        width = max((len(finding.area) for finding in findings), default=0)
        for finding in findings:
            line = f"{_MARKS[finding.level]} {finding.area:<{width}}  {escape(finding.text)}"
            out.print(line, soft_wrap=True, highlight=False)
            if finding.advice is not None:
                out.print(f"{'':>{width + 10}}→ {escape(finding.advice)}", soft_wrap=True, highlight=False)
    if worst(findings) == "fail":
        raise typer.Exit(1)
