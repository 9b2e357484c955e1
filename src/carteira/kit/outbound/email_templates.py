"""E-mails to people, as text and as HTML in one frame; modules bring the templates."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

from carteira.kit.outbound.mail import Message


class EmailTemplates:
    """A package's e-mails: their subjects by name, and `templates/<name>.txt` and `.html` beside its code.

    The HTML extends `base.html`, which greets by `name` if that is not empty.
    """

    def __init__(self, package: str, subjects: Mapping[str, str]) -> None:
        self._package = package
        self._subjects = subjects

    @cached_property
    def _templates(self) -> Environment:
        folders = [PackageLoader(package, "templates") for package in (self._package, "carteira.kit.outbound")]
        return Environment(
            loader=ChoiceLoader(folders),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    def compose(self, letter: str, /, **values: Any) -> Message:  # noqa: ANN401 - a template's values have any type
        """Fill an e-mail's templates."""
        subject = self._subjects[letter]
        return Message(
            subject,
            self._templates.get_template(f"{letter}.txt").render(subject=subject, **values),
            self._templates.get_template(f"{letter}.html").render(subject=subject, **values),
        )
