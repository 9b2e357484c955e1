"""Rules for single settings beyond their type; each raises a sentence in Portuguese.

A wrong setting is reported when a process starts, and not when the first e-mail is sent.
"""

import re
from collections.abc import Collection, Iterator
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

from carteira.kit.security.age import Recipients
from carteira.kit.values.networks import TrustedProxies

WEB = ("http", "https")
MAIL = ("smtp", "smtps")
STORAGE = ("file", "s3")
_WHOLE = re.compile(r"\s*-?[0-9]{1,18}\s*", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?|[0-9A-Fa-f:.]+(%\w+)?", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]+")
_STARTTLS = ([("starttls", "true")], [("starttls", "false")])


def whole_number(text: str, *, or_none: bool) -> str:
    """Return a text that is a whole number; `100.000` is ambiguous, and refused.

    Raises:
        ValueError: it is not a whole number.
    """
    if _WHOLE.fullmatch(text) or (or_none and text.strip() == "none"):
        return text.strip()
    raise ValueError("Envie um número inteiro, só com algarismos" + (", ou none." if or_none else "."))


def address(text: str, schemes: Collection[str]) -> SplitResult:
    """Return the parts of an address with one of these schemes, a host, and a valid port.

    Raises:
        ValueError: a part is missing or invalid.
    """
    said = " ou ".join(f"{scheme}://" for scheme in schemes)
    refused = ValueError(f"o endereço deve começar por {said}, com uma máquina e uma porta que existam")
    try:
        parts = urlsplit(text)
        has_port = parts.port != 0
    except ValueError as error:  # an invalid port, half an IPv6 address
        raise refused from error
    if parts.scheme not in schemes or not has_port or re.search(r"[\s\x00-\x1f]", text):
        raise refused
    if not _HOST.fullmatch(parts.hostname or ""):
        raise refused
    return parts


def mail_server(text: str) -> str:
    """Return a mail server's address; its option has one spelling: a misspelt one would leave e-mails unencrypted.

    Raises:
        ValueError: it is invalid, or has an unknown option.
    """
    parts = address(text, MAIL)
    if parts.query and parse_qsl(parts.query, keep_blank_values=True) not in _STARTTLS:
        raise ValueError("depois de ? só há starttls=true, ou starttls=false")
    return text


def demands_starttls(text: str) -> bool:
    """Return whether a mail server's address requires STARTTLS."""
    return parse_qsl(urlsplit(text).query) == [("starttls", "true")]


def storage(text: str) -> str:
    """Return an address of a folder or a bucket.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(text)
    is_folder = parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc
    is_bucket = parts.scheme == "s3" and bool(parts.netloc)
    if not (is_folder or is_bucket) or parts.query or parts.fragment:
        raise ValueError("deve ser file:///pasta ou s3://bucket/prefixo")
    return text


def public_keys(text: str) -> str:
    """Return public keys of the age format, comma-separated.

    Raises:
        ValueError: one is invalid.
    """
    Recipients.parse(text)
    return text


def backup_faults(backup_url: str | None, journal_url: str | None, recipients: str | None) -> Iterator[str]:
    """Yield the settings that backups and the journal of erasures lack."""
    for name, url in (("BACKUP_URL", backup_url), ("ERASURE_JOURNAL_URL", journal_url)):
        if url is not None and recipients is None:
            yield f"BACKUP_RECIPIENTS precisa ser definida com {name}: execute `carteira backup key`"
    if backup_url is not None and journal_url is not None and backup_url.rstrip("/") == journal_url.rstrip("/"):
        yield "ERASURE_JOURNAL_URL precisa ser um lugar diferente de BACKUP_URL: quem perde um não perde o outro"


def folder(path: Path) -> Path:
    """Return the path of an existing folder.

    Raises:
        ValueError: it does not exist.
    """
    if not path.is_dir():
        raise ValueError(f"{path} não é uma pasta que existe")
    return path


def hashes(file: Path) -> Path:
    """Return a file of SHA-1 hashes, judged by its first line.

    Raises:
        ValueError: it is none, or cannot be read.
    """
    try:
        with file.open("rb") as lines:
            first = lines.readline(100)
    except OSError as error:
        raise ValueError(f"{file} não pode ser lido") from error
    if not re.match(rb"[0-9A-Fa-f]{40}(:[0-9]+)?\r?\n", first):
        raise ValueError("o arquivo tem um SHA-1 em hexadecimal por linha, em ordem")
    return file


def sender(text: str) -> str:
    """Return a sender's address, with or without a name.

    Raises:
        ValueError: it is none, or several.
    """
    _, mailbox = parseaddr(text)
    local, _, domain = mailbox.rpartition("@")
    if not local or not domain or "," in text or re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("deve ser um endereço de e-mail, como nao-responda@exemplo.com.br")
    return text


def modules(text: str, optional: Collection[str]) -> str:
    """Return a list of modules, or `all` or `none`.

    Raises:
        ValueError: one is unknown, or `all` or `none` is not alone.
    """
    names = [part for name in text.split(",") if (part := name.strip())]
    unknown = set(names) - {*optional, "all", "none"}
    if unknown:
        raise ValueError(f"módulos desconhecidos ({', '.join(sorted(unknown))}); há {', '.join(optional)}")
    if (text and not names) or (len(names) > 1 and {"all", "none"} & set(names)):
        raise ValueError("diga os módulos, separados por vírgula, ou só all, ou só none")
    return text


def networks(text: str) -> str:
    """Return the networks of trusted proxies, or `none`.

    Raises:
        ValueError: one is invalid, or the list is empty.
    """
    if not TrustedProxies.parse(text).networks and text.strip() != "none":
        raise ValueError("diga as redes, separadas por vírgula, ou none")
    return text


def trusts_all(text: str) -> bool:
    """Return whether the trusted proxies cover all addresses of a kind, however they are combined."""
    found = TrustedProxies.parse(text).networks
    fours = collapse_addresses([network for network in found if isinstance(network, IPv4Network)])
    sixes = collapse_addresses([network for network in found if isinstance(network, IPv6Network)])
    return any(four.prefixlen == 0 for four in fours) or any(six.prefixlen == 0 for six in sixes)


def is_token(text: str, least: int) -> bool:
    """Return whether a text can be a bearer token that nobody guesses: at least so many visible ASCII characters."""
    return len(text) >= least and _TOKEN.fullmatch(text) is not None
