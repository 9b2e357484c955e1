"""Metrics of documents."""

from prometheus_client import Counter

stored_files = Counter("carteira_documents_files_stored", "Files sealed and stored", ["content_type"])
stored_bytes = Counter("carteira_documents_bytes_stored", "Clear bytes of the files stored")
refused_files = Counter("carteira_documents_files_refused", "Uploads refused, by the problem's code", ["code"])
served_files = Counter("carteira_documents_files_served", "Files given out by a link")
removed_orphans = Counter("carteira_documents_orphans_removed", "Removed stored versions that no row referred to")
decided_documents = Counter("carteira_documents_decided", "Documents reviewed or refused by an operator", ["state"])
