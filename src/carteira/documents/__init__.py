"""Documents: a person's papers, readable only by the person and by an operator who reviews them.

It owns documents, their versions, and the sealed bytes on a disk or in S3. Invariants:

- no clear byte of a file is ever written: the file is encrypted segment by segment as it arrives (AES-256-GCM in the
  STREAM construction, bound to document and version) under a key for that version alone;
- that key is stored only in the version's row, wrapped by a master key outside of the database: without the row the
  stored bytes are noise, and deletion or erasure destroys the key;
- only a complete PDF, PNG or JPEG of at most 10 MiB is accepted, recognised by its bytes; a refused file leaves nothing
  behind;
- a document is visible to its owner only (404 for others), and to operators with `documents:review`, whose looks are
  recorded. Files leave only by short-lived links: as downloads, or a PDF into a sandboxed frame of the reviewer's page;
- a proof shows type, holder's name, validity and assurance, and nothing more;
- a document is `declared` by its owner until another person, an operator, has seen its file and recorded what they
  compared (`reviewed`) or why they refused it (`refused`); a change of type, number, expiry date or file makes it
  `declared` again;
- where a scanner is required, no file is accepted without its verdict; bytes after a picture's end, and its position,
  are removed.

Events: `documents.expiring` (`document_id, user_id, document_type, expires_on, days_left`), once per step of
`REMIND_DAYS`; `documents.reviewed`, `documents.refused` (`document_id, user_id`). Sources: rules.md, documents; LGPD
art. 18; ADR 0011.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from fastapi import FastAPI

from carteira.documents import desk
from carteira.documents.errors import DocumentNotFound, FileMissing, LinkRefused, TooManyDocuments
from carteira.documents.forms import FILE, Form
from carteira.documents.intake import kept, receive_form
from carteira.documents.keys import MasterKeyRing
from carteira.documents.kinds import DocumentType, InvalidNumber, parse_number, parse_type
from carteira.documents.links import make_file_path
from carteira.documents.maintenance import (
    MasterKeyRotation,
    count_by_key,
    remove_orphans,
    rotate_master_key,
    stored_names,
    stored_since,
    unreadable_among,
)
from carteira.documents.proofs import PAGE as PROOF_PAGE
from carteira.documents.proofs import check as check_proof
from carteira.documents.proofs import make as make_proof
from carteira.documents.schemas import DocumentIn
from carteira.documents.service import (
    REMIND_DAYS,
    DocumentState,
    DocumentView,
    HolderName,
    Proof,
    VersionView,
    erase_person,
    export_person,
    listed,
    read,
    register,
    remind,
    remove,
    replace_file,
    update,
    versions,
)
from carteira.documents.storage import Storage, opener
from carteira.documents.upload import MAX_BODY_BYTES, MAX_FILE_BYTES, UPLOAD_SECONDS, StoredFile
from carteira.documents.vault import VAULT, Vault
from carteira.kit.db.session import Tx
from carteira.kit.module import Module

__all__ = [
    "FILE",
    "MAX_BODY_BYTES",
    "MAX_FILE_BYTES",
    "PROOF_PAGE",
    "REMIND_DAYS",
    "UPLOAD_SECONDS",
    "VAULT",
    "DocumentIn",
    "DocumentNotFound",
    "DocumentState",
    "DocumentType",
    "DocumentView",
    "FileMissing",
    "Form",
    "HolderName",
    "InvalidNumber",
    "LinkRefused",
    "MasterKeyRing",
    "MasterKeyRotation",
    "Proof",
    "Storage",
    "StoredFile",
    "TooManyDocuments",
    "Vault",
    "VersionView",
    "check_proof",
    "count_by_key",
    "desk",
    "erase_person",
    "export_person",
    "folder_in",
    "kept",
    "key_file_in",
    "listed",
    "make_file_path",
    "make_proof",
    "module",
    "parse_number",
    "parse_type",
    "read",
    "receive_form",
    "register",
    "remind",
    "remove",
    "remove_orphans",
    "replace_file",
    "rotate_master_key",
    "scanner_answers",
    "storage_answers",
    "stored_names",
    "stored_since",
    "unreadable_among",
    "update",
    "versions",
]


async def storage_answers(url: str, aws_endpoint_url: str | None) -> bool:
    """Return whether the documents' storage answers, or raise its client's errors."""
    return await opener(url, aws_endpoint_url=aws_endpoint_url)().answers()


async def scanner_answers(url: str) -> bool:
    """Return whether a malware scanner answers."""
    from carteira.documents.scanner import Scanner

    return await Scanner(url).answers()


async def _nameless(_tx: Tx, _user_id: UUID) -> str | None:
    """Return no name: the default of `holder_name`."""
    return None


def folder_in(home: Path) -> Path:
    """Return the documents' folder in development."""
    return home / "documents"


def key_file_in(home: Path) -> Path:
    """Return the master key file in development."""
    return home / "keys" / "documents.json"


def module(  # noqa: PLR0913 - one argument per setting
    *,
    home: Path,
    url: str | None = None,
    key_file: Path | None = None,
    create_key: bool = True,
    aws_endpoint_url: str | None = None,
    scanner_url: str | None = None,
    holder_name: HolderName = _nameless,
) -> Module:
    """Hand documents to the composition root.

    Without `url` files are in the home folder, without `key_file` the master keys are; `create_key` makes a first one.
    With `scanner_url` no file is accepted without that scanner's verdict.
    """
    from carteira.documents import jobs, review_routes, routes
    from carteira.documents.scanner import Scanner

    vault = Vault(
        url or folder_in(home).as_uri(),
        key_file or key_file_in(home),
        create_key,
        aws_endpoint_url,
        holder_name,
        Scanner(scanner_url) if scanner_url else None,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        vault.prepare()
        VAULT.set(app, vault)
        yield

    async def storage_is_well(_app: FastAPI) -> bool:
        return await vault.storage.answers()

    async def scanner_is_well(_app: FastAPI) -> bool | str:
        is_well = vault.scanner is None or await vault.scanner.answers()
        return is_well or "sem a verificação de arquivos: nenhum é recebido"

    return Module(
        name="documents",
        routers=(review_routes.router, routes.router),
        jobs=jobs.blueprint(vault),
        body_limits={"/documents": MAX_BODY_BYTES},
        time_limits={"/documents": UPLOAD_SECONDS},
        lifespan=lifespan,
        readiness={"documents": storage_is_well} | ({"malware_scanner": scanner_is_well} if scanner_url else {}),
        export_person=export_person,
        erase_person=erase_person,
    )
