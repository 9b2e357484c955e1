"""Problems of documents.

Indentation shows inheritance; numbers are HTTP statuses:

    NotFound                                404
      DocumentNotFound
      FileMissing
    PayloadTooLarge                         413
      FileTooLarge
    UnsupportedMediaType                    415
      FileTypeRefused
    InvalidInput                            422
      FileBroken
      MalwareFound
      FormUnreadable
    TooManyRequests                         429
      TooManyUploads
    Conflict                                409
      TooManyDocuments
      TooManyVersions
      ProofNeedsFile
      DocumentRefused
      DocumentChanged
      AlreadyDecided
    Forbidden                               403
      LinkRefused
      OwnDocument
    DependencyDown                          503
      StorageDown
      ScannerDown
    Problem                                 500
      FileDamaged
"""

from carteira.kit.web.problems import (
    Conflict,
    DependencyDown,
    Forbidden,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    Problem,
    TooManyRequests,
    UnsupportedMediaType,
)


class DocumentNotFound(NotFound):
    """There is no such document, or it is another person's; the answer does not say which."""

    code = "document_not_found"
    detail = "Documento não encontrado."


class FileMissing(NotFound):
    """The document was registered without a file, or has no such version."""

    code = "document_has_no_file"
    detail = "Este documento não tem arquivo."


class FileTooLarge(PayloadTooLarge):
    """The file is larger than 10 MiB."""

    code = "file_too_large"
    title = "Arquivo grande demais"
    detail = "O arquivo passa de 10 MiB."


class FileTypeRefused(UnsupportedMediaType):
    """The file is no PDF, PNG or JPEG, or not what its name or media type says."""

    code = "file_type_refused"
    title = "Tipo de arquivo não aceito"
    detail = "Envie um PDF, PNG ou JPEG."


class FileBroken(InvalidInput):
    """The file begins like its kind but is broken or cut off."""

    code = "file_broken"
    title = "Arquivo danificado"
    detail = "O arquivo está incompleto ou danificado."


class TooManyUploads(TooManyRequests):
    """The person has reached the limit of concurrent uploads."""

    code = "too_many_uploads"
    title = "Envios demais ao mesmo tempo"
    detail = "Você já está enviando outros arquivos. Espere um deles terminar e tente de novo."


class MalwareFound(InvalidInput):
    """The scanner marked the file."""

    code = "file_infected"
    title = "Arquivo recusado"
    detail = "O arquivo foi recusado pela verificação de segurança. Envie outro."


class FormUnreadable(InvalidInput):
    """The multipart body cannot be read."""

    code = "form_unreadable"
    detail = "O formulário enviado não pôde ser lido."


class TooManyDocuments(Conflict):
    """The person has reached the limit of documents."""

    code = "too_many_documents"
    detail = "Você já guarda o número máximo de documentos."


class TooManyVersions(Conflict):
    """The document has reached the limit of versions."""

    code = "too_many_versions"
    detail = "Este documento já tem o número máximo de versões."


class LinkRefused(Forbidden):
    """The link is foreign, was changed, or has expired."""

    code = "link_refused"
    title = "Link inválido"
    detail = "Este link não é válido ou já expirou. Peça outro."


class StorageDown(DependencyDown):
    """The disk or S3 does not answer."""

    code = "storage_down"
    detail = "O armazenamento de documentos está fora do ar. Tente de novo em instantes."


class ScannerDown(DependencyDown):
    """The required scanner does not answer."""

    code = "scanner_down"
    detail = "A verificação de arquivos está fora do ar. Tente de novo em instantes."


class ProofNeedsFile(Conflict):
    """The document has no file, so it proves nothing."""

    code = "proof_needs_file"
    detail = "Envie o arquivo do documento antes de pedir uma prova."


class DocumentRefused(Conflict):
    """An operator refused the document; its owner has to change it first."""

    code = "document_refused"
    detail = "Este documento foi recusado na conferência. Corrija-o antes de pedir uma prova."


class OwnDocument(Forbidden):
    """The operator may not review their own document."""

    code = "own_document"
    detail = "Ninguém confere o próprio documento."


class DocumentChanged(Conflict):
    """The document has changed since the operator saw it, or has no file."""

    code = "document_changed"
    detail = "O documento mudou depois de ser visto. Veja-o de novo antes de decidir."


class AlreadyDecided(Conflict):
    """The document is in that state already, or somebody decided on it since it was seen."""

    code = "document_already_decided"
    detail = "Este documento já foi decidido."


class FileDamaged(Problem):
    """The stored bytes were changed or lost; they are never returned as a file."""

    code = "file_damaged"
    title = "Arquivo corrompido"
    detail = "O arquivo guardado está corrompido e não pode ser entregue."
