"""Problems of the assistant. Most errors within a conversation are replies in it, not problems.

Indentation shows inheritance; numbers are HTTP statuses:

    NotFound                                404
      TopicNotFound
      TicketNotFound
      QuestionNotFound
    Forbidden                               403
      OwnTicket
    Conflict                                409
      TicketAnswered
"""

from carteira.kit.web.problems import Conflict, Forbidden, NotFound


class TopicNotFound(NotFound):
    """There is no such topic, or no such version of it."""

    code = "topic_not_found"
    detail = "Assunto não encontrado."


class TicketNotFound(NotFound):
    """There is no such ticket."""

    code = "ticket_not_found"
    detail = "Atendimento não encontrado."


class QuestionNotFound(NotFound):
    """There is no such unanswered question."""

    code = "question_not_found"
    detail = "Pergunta não encontrada."


class OwnTicket(Forbidden):
    """An operator may not answer their own ticket."""

    code = "own_ticket"
    detail = "Ninguém responde o próprio atendimento: outro operador responde."


class TicketAnswered(Conflict):
    """A ticket is answered once."""

    code = "ticket_answered"
    detail = "Este atendimento já foi respondido."
