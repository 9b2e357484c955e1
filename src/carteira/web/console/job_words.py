"""Jobs in words: what each does, and why one was given up."""

from collections.abc import Sequence

JOBS = {
    "assistant:forget_questions": "Apagar perguntas antigas do assistente",
    "assistant:forget_stale": "Apagar conversas que pararam no meio",
    "backup:make": "Fazer o backup da noite",
    "benefits:credit_scheduled": "Fazer os créditos agendados",
    "benefits:forget_declined": "Apagar recusas antigas de compras",
    "benefits:import_accounts": "Abrir as contas de um arquivo",
    "benefits:send_claim_code": "Mandar o código que liga uma conta",
    "benefits:send_invitation": "Mandar um convite de conta",
    "benefits:take_up_imports": "Retomar arquivos de contas",
    "documents:remind_expiring": "Avisar de documentos que vencem",
    "documents:remove_files": "Apagar arquivos de documentos",
    "documents:remove_orphans": "Apagar envios que ficaram pela metade",
    "identity:confirm_erasures": "Confirmar contas apagadas",
    "identity:export_users": "Exportar os cadastros",
    "identity:forget_answers": "Apagar respostas repetíveis antigas",
    "identity:forget_audit": "Apagar a auditoria que passou do prazo",
    "identity:forget_old": "Apagar sessões e códigos antigos",
    "identity:send_contact_confirmation": "Mandar a confirmação de um contato",
    "identity:send_link_code": "Mandar o código que liga uma conta de fora",
    "identity:send_recovery_code": "Mandar o código de uma senha nova",
    "identity:tell_contact_changed": "Avisar de um contato mudado",
    "identity:tell_cpf_moved": "Avisar de um CPF que passou a outra conta",
    "identity:tell_cpf_proven": "Avisar de um CPF comprovado",
    "identity:tell_email_changed": "Avisar de um e-mail mudado",
    "identity:tell_factor_reset": "Avisar de um segundo fator apagado",
    "identity:tell_password_changed": "Avisar de uma senha mudada",
    "identity:tell_way_added": "Avisar de uma nova forma de entrar",
    "identity:verify_audit": "Conferir a cadeia da auditoria",
    "kit:expire_pending": "Encerrar pendências vencidas",
    "ledger:expire_holds": "Soltar reservas vencidas",
    "ledger:reconcile": "Conferir saldos e lançamentos",
    "ledger:roll_up": "Somar os saldos do sistema",
    "ledger:verify": "Conferir a cadeia do livro-razão",
    "notices:tell_approvers": "Procurar pendências a avisar",
    "notices:tell_card_blocked": "Avisar de um cartão bloqueado",
    "notices:tell_card_cancelled": "Avisar de um cartão cancelado",
    "notices:tell_card_unblocked": "Avisar de um cartão desbloqueado",
    "notices:tell_cashback_credited": "Avisar de cashback creditado",
    "notices:tell_document_expiring": "Avisar de um documento que vence",
    "notices:tell_document_refused": "Avisar de um documento recusado",
    "notices:tell_document_reviewed": "Avisar de um documento conferido",
    "notices:tell_operation_decided": "Avisar de uma pendência decidida",
    "notices:tell_operations_waiting": "Avisar quem aprova pendências",
    "notices:tell_payment_returned": "Avisar de um Pix devolvido",
    "notices:tell_purchase_approved": "Avisar de uma compra aprovada",
    "notices:tell_purchase_rejected": "Avisar de uma compra reprovada",
    "partitions:analyze": "Atualizar as estatísticas das tabelas",
    "partitions:make": "Criar as partições dos próximos meses",
    "payments:look": "Procurar um Pix no provedor",
    "payments:make_charge": "Criar uma cobrança no provedor",
    "payments:poll": "Ler a lista de Pix do provedor",
    "payments:reconcile": "Conferir os dias com o provedor de Pix",
    "payments:send_return": "Pedir uma devolução ao provedor",
    "payments:sweep_returns": "Procurar devoluções dos bancos",
    "resellers:close_due_months": "Fechar os meses de cashback",
    "webhooks:deliver": "Entregar avisos a um webhook",
    "webhooks:forget_old": "Apagar entregas antigas de webhooks",
    "webhooks:look_after": "Cuidar das entregas de webhooks",
}
"""The description of each job, by its name."""

FAILURES = {
    "MailNotConfigured": "Nenhum servidor de e-mail está configurado (SMTP_URL)",
    "SMTPException": "O servidor de e-mail não respondeu ou recusou",
    "ObjectsDown": "O armazenamento de arquivos não respondeu",
    "PaymentProviderDown": "O provedor de Pix não respondeu",
    "DatabaseDown": "O banco de dados não respondeu",
    "DBAPIError": "O banco de dados recusou ou não respondeu",
    "DependencyDown": "Um serviço de que o trabalho precisa não respondeu",
    "ServiceDown": "Um serviço de fora não respondeu",
    "TimeoutError": "Não terminou a tempo",
    "OSError": "Uma conexão ou um arquivo falhou",
    "TypeError": "O trabalho foi pedido por outra versão do código",
}
"""The reason why a job was given up, by the class of its exception or its nearest base."""
_UNKNOWN = "Sem causa anotada: o worker parou no meio, ou foi antes desta versão; veja o log"
_OTHER = "Um erro sem nome conhecido; ele está inteiro no log"


def job_name(task: str) -> str:
    """Return a job's description, or the name of a job of another release."""
    return JOBS.get(task, task)


def failure_name(classes: Sequence[str]) -> str:
    """Return the reason why a job was given up, from the classes of its exception, the nearest first."""
    if not classes:
        return _UNKNOWN
    return next((FAILURES[name] for name in classes if name in FAILURES), _OTHER)
