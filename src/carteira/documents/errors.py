"""What documents refuses."""

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
    """There is no such document, or it is another person's: nobody learns which."""

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
    """A person sends as many files at once as one may."""

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
    """A person keeps a limited number of documents, and a document a limited number of versions."""

    code = "too_many_documents"
    detail = "Você já guarda o número máximo de documentos."


class TooManyVersions(Conflict):
    """A document keeps a limited number of versions."""

    code = "too_many_versions"
    detail = "Este documento já tem o número máximo de versões."


class LinkRefused(Forbidden):
    """A link is not ours, was changed, or has expired."""

    code = "link_refused"
    title = "Link inválido"
    detail = "Este link não é válido ou já expirou. Peça outro."


class StorageDown(DependencyDown):
    """The disk or S3 does not answer."""

    code = "storage_down"
    detail = "O armazenamento de documentos está fora do ar. Tente de novo em instantes."


class ScannerDown(DependencyDown):
    """Files are to be scanned, and the scanner does not answer."""

    code = "scanner_down"
    detail = "A verificação de arquivos está fora do ar. Tente de novo em instantes."


class ProofNeedsFile(Conflict):
    """A document without a file proves nothing."""

    code = "proof_needs_file"
    detail = "Envie o arquivo do documento antes de pedir uma comprovação."


class DocumentRefused(Conflict):
    """An operator refused the document; its owner changes it first."""

    code = "document_refused"
    detail = "Este documento foi recusado na conferência. Corrija-o antes de pedir uma comprovação."


class OwnDocument(Forbidden):
    """Nobody reviews their own document."""

    code = "own_document"
    detail = "Ninguém confere o próprio documento."


class DocumentChanged(Conflict):
    """The document is no longer what the operator looked at, or has no file to look at."""

    code = "document_changed"
    detail = "O documento mudou depois de ser visto. Veja-o de novo antes de decidir."


class AlreadyDecided(Conflict):
    """The document is in that state already."""

    code = "document_already_decided"
    detail = "Este documento já está nesta situação."


class FileDamaged(Problem):
    """What is stored is not what was sealed: somebody changed it, or it was lost. Never answered as a file."""

    code = "file_damaged"
    title = "Arquivo corrompido"
    detail = "O arquivo guardado está corrompido e não pode ser entregue."
