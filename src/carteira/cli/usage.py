"""The command line's help and usage errors in Portuguese, in place of typer's own."""

import re
from collections.abc import Callable
from functools import partial, partialmethod
from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperCommand

from carteira.kit.web.validation import describe

_SAID_OTHERWISE = (
    (re.compile(r"No such command (?P<what>'[^']*')\."), "o comando {what} não existe"),
    (
        re.compile(r"No such command (?P<what>'[^']*')\. Did you mean (?P<meant>.*)\?"),
        "o comando {what} não existe: seria {meant}?",
    ),
    (re.compile(r"Missing command\."), "falta o comando"),
    (re.compile(r"Got unexpected extra argument\(s\) \((?P<what>.*)\)"), "argumentos a mais: {what}"),
    (re.compile(r"Option (?P<what>'.*') requires an argument\."), "a opção {what} pede um valor"),
    (re.compile(r"Option (?P<what>'.*') requires \d+ arguments\."), "a opção {what} pede mais valores"),
    (re.compile(r"Option (?P<what>'.*') does not take a value\."), "a opção {what} não leva valor"),
)


_TYPES = {"<str>": "<texto>", "<path>": "<caminho>", "<int>": "<inteiro>", "<int range>": "<inteiro>"}
_TYPES |= {"<datetime>": "<instante>"}


def in_portuguese(app: typer.Typer) -> TyperCommand:
    """Return the command of an application, with the help's own words in Portuguese."""
    command: Any = typer.main.get_command(app)
    formatter = command.context_class.formatter_class
    formatter.write_usage = partialmethod(formatter.write_usage, prefix="Uso: ")
    _explain_help(command)
    top: TyperCommand = command
    return top


def _explain_help(command: Any) -> None:  # noqa: ANN401 - its class is private to typer
    command.options_metavar = "[opções]"
    help_option = command.get_help_option(command.context_class(command))
    help_option.help = "Mostra esta ajuda."
    for parameter in (*command.params, help_option):
        parameter.display_type_rich = partial(_type_in_portuguese, parameter.display_type)
    show = command.format_help

    def format_help(context: object, formatter: object) -> None:
        _name_panels()
        show(context, formatter)

    command.format_help = format_help
    if hasattr(command, "commands"):
        command.subcommand_metavar = "comando [argumentos]"
        for below in command.commands.values():
            _explain_help(below)


def _type_in_portuguese(display: Callable[[object], str | None], ctx: object) -> str | None:
    """Return a parameter's type for the help; None for a switch, which takes no value."""
    shown = display(ctx)
    return None if shown == "<bool>" else _TYPES.get(shown or "", shown)


def _name_panels() -> None:
    from typer import rich_utils  # its import takes longer than most commands

    rich_utils.ARGUMENTS_PANEL_TITLE = "Argumentos"
    rich_utils.OPTIONS_PANEL_TITLE = "Opções"
    rich_utils.COMMANDS_PANEL_TITLE = "Comandos"
    rich_utils.REQUIRED_LONG_STRING = "[obrigatório]"
    rich_utils.DEFAULT_STRING = "[padrão: {}]"


def is_help(error: Exception) -> bool:
    """Return whether a group of commands was named alone, so that its help was shown."""
    return type(error).__name__ == "NoArgsIsHelpError"


def sentence_of(error: Any) -> str:  # noqa: ANN401 - their classes are private to typer
    """Return the message about wrong arguments, with the command's help.

    Errors are matched by name, since typer exports only the commonest.
    """
    kind = type(error).__name__
    if kind == "NoSuchOption":
        meant = f": seria {' ou '.join(sorted(error.possibilities))}?" if error.possibilities else ""
        text = f"a opção {error.option_name} não existe{meant}"
    elif kind == "MissingParameter":
        text = f"falta {error.param.get_error_hint()}"
        text += _choices(error)
    elif isinstance(error.__cause__, ValidationError):
        faults = (describe(fault)["message"] for fault in error.__cause__.errors())
        text = f"{error.param.get_error_hint()}: {' '.join(faults).removesuffix('.')}{_choices(error)}"
    else:
        text = _reworded(error.message)
    path = getattr(error.ctx, "command_path", "carteira")
    end = "" if text.endswith("?") else "."
    return f"{text}{end} Veja `{path} --help`."


def _choices(error: Any) -> str:  # noqa: ANN401 - their classes are private to typer
    """Return the allowed values for the message; empty if any value is allowed."""
    missing: str | None = error.param.get_missing_message(ctx=error.ctx)
    if not missing:
        return ""
    *others, last = missing.partition(":")[2].split()
    return f"; pode ser {' '.join(others).removesuffix(',')} ou {last}" if others else f"; pode ser {last}"


def _reworded(message: str) -> str:
    for pattern, text in _SAID_OTHERWISE:
        if found := pattern.fullmatch(message):
            return text.format_map({name: said.replace("', '", "' ou '") for name, said in found.groupdict().items()})
    return message.removesuffix(".")
