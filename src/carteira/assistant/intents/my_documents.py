"""Option 4: see my documents. Only the ends of numbers are shown, since others may read the screen."""

from carteira import documents
from carteira.assistant.flow import Done, Intent, Turn
from carteira.assistant.intents.save_document import name_of
from carteira.assistant.pages import PAGES

_SHOWN = 20
_END = 3


def _line(document: documents.DocumentView) -> str:
    number = document.document_number
    parts = [f"{name_of(document.document_type)}, final {number[-_END:] if len(number) > _END else '…'}"]
    parts.append(f"arquivo {document.file_name}" if document.version else "sem arquivo")
    if document.expires_on:
        parts.append(f"validade {document.expires_on:%d/%m/%Y}")
    return "• " + ", ".join(parts)


async def _begin(turn: Turn) -> Done:
    found = await documents.listed(turn.tx, turn.person.user_id, limit=_SHOWN + 1)
    if not found:
        return Done("Você ainda não guardou documentos.", ("Guardar um documento",))
    more = '\nHá mais: veja todos em "Documentos".' if len(found) > _SHOWN else ""
    return Done("Seus documentos:\n" + "\n".join(map(_line, found[:_SHOWN])) + more, page=PAGES["/app/documentos"])


INTENT = Intent("my_documents", "Ver meus documentos", _begin, number=4, module="documents")
