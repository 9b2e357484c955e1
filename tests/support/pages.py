"""A browser without scripts: it keeps cookies, reads forms from pages and sends them as a person would."""

import re
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser

import httpx

from tests.support.app import RunningApp
from tests.support.client import client_of
from tests.support.people import PASSWORD, Person, random_address


@dataclass
class SentForm:
    """A form of a page: its address, its fields with the values shown, and its buttons."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[SentForm] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self._form: SentForm | None = None
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.attributes += found.items()
        if tag in {"script", "style"}:
            self._silent += 1
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "form":
            self._form = SentForm(found.get("action", ""), found.get("method", "get"))
            self.forms.append(self._form)
        if self._form is not None and "name" in found:
            self._read_control(tag, found)

    def _read_control(self, tag: str, found: dict[str, str]) -> None:
        assert self._form is not None
        if tag == "button":
            self._form.buttons.append((found["name"], found.get("value", "")))
        elif tag == "input" and (found.get("type") not in {"radio", "checkbox"} or "checked" in found):
            self._form.fields[found["name"]] = found.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"}:
            self._silent -= 1
        if tag == "form":
            self._form = None

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.text.append(data)


def plain(html: str) -> str:
    """Return the text of a piece of a page; elements and blanks are single blanks."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


class Shown:
    """An answer, read as a page."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.status = answer.status_code
        self._reader = _Reader()
        self._reader.feed(answer.text)

    @property
    def text(self) -> str:
        """The page's text, with single blanks."""
        return " ".join("".join(self._reader.text).replace("\xa0", " ").split())

    @property
    def facts(self) -> dict[str, str]:
        """The page's facts by name, with single blanks."""
        found = re.findall(r"<dt>(.*?)</dt>\s*<dd[^>]*>(.*?)</dd>", self.answer.text, re.DOTALL)
        return {_bare(name): _bare(value) for name, value in found}

    @property
    def links(self) -> list[str]:
        return self._reader.links

    @property
    def attributes(self) -> list[tuple[str, str]]:
        return self._reader.attributes

    @property
    def forms(self) -> list[SentForm]:
        return self._reader.forms

    @property
    def rows(self) -> list[str]:
        """The text of each row of the page's tables, without their heads."""
        found = re.findall(r"<tr[^>]*>(.*?)</tr>", self.answer.text, re.DOTALL)
        return [plain(row) for row in found if "<td" in row]

    def section(self, heading: str) -> str:
        """Return a section of the page as HTML, by its heading's id."""
        return self.answer.text.partition(f'id="{heading}"')[2].partition("</section>")[0]

    def lines(self, heading: str) -> list[str]:
        """Return the text of each line of a section's list."""
        return [plain(line) for line in re.findall(r"<li[^>]*>(.*?)</li>", self.section(heading), re.DOTALL)]

    def form(self, action: str) -> SentForm:
        """Return the form that goes to an address."""
        return next(form for form in self.forms if form.action.partition("?")[0] == action)


def _bare(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


class PlainBrowser:
    """A browser without scripts, at an address of its own."""

    def __init__(self, app: RunningApp) -> None:
        self.client = client_of(app.application, address=random_address())
        self.client.headers["Accept"] = "text/html,application/xhtml+xml"

    async def get(self, path: str) -> Shown:
        return Shown(await self.client.get(path))

    async def open(self, path: str) -> Shown:
        """Open a page and follow its redirects."""
        return Shown(await self.client.get(path, follow_redirects=True))

    async def send(self, page: Shown, action: str, _button: tuple[str, str] | None = None, **typed: str) -> Shown:
        """Fill in a page's form and send it, without following the answer's redirect."""
        form = page.form(action)
        fields = form.fields | typed | (dict([_button]) if _button else {})
        headers = {"Referer": str(page.answer.url)}
        return Shown(await self.client.post(form.action, data=fields, headers=headers))

    async def follow(self, shown: Shown) -> Shown:
        """Follow an answer's redirect."""
        assert shown.status == 303, (shown.status, shown.text)
        return await self.open(shown.answer.headers["location"])

    async def sign_in(self, person: Person, password: str = PASSWORD, **more: str) -> Shown:
        """Sign a registered person in at the page; return where it leads."""
        page = await self.open("/app/entrar")
        sent = await self.send(
            page, "/app/entrar", None, username=person.cpf or person.email, password=password, **more
        )
        return await self.follow(sent)
