"""Problems of credit.

Indentation shows inheritance; numbers are HTTP statuses:

    NotFound                                404
      CreditRecordNotFound
      ModelNotFound
    InvalidInput                            422
      InsufficientData
      PersonIsMinor
    DependencyDown                          503
      BaseBDown
      BaseCDown
      KeyServiceDown
    Conflict                                409
      RecordUnreadable                      500
      ModelInForce
      ModelOvertaken
"""

from typing import ClassVar

from carteira.kit.web.problems import Conflict, DependencyDown, InvalidInput, NotFound


class CreditRecordNotFound(NotFound):
    """The base holds nothing about this CPF."""

    code = "credit_record_not_found"
    detail = "Esta base não tem dados deste CPF."


class InsufficientData(InvalidInput):
    """The score needs an age, an asset and an income; it never guesses (rules.md, credit)."""

    code = "insufficient_data"
    title = "Dados insuficientes"
    detail = "A pontuação precisa de idade, de pelo menos um bem e de pelo menos uma fonte de renda."


class PersonIsMinor(InvalidInput):
    """People under 18 cannot borrow on their own (Código Civil, arts. 3, 4 and 5): they are not scored."""

    code = "person_is_minor"
    title = "Pessoa menor de idade"
    detail = "A pontuação só é calculada para pessoas com 18 anos ou mais."


class BaseBDown(DependencyDown):
    """DynamoDB does not answer, or still throttles after the retries."""

    code = "base_b_down"
    detail = "A base B está fora do ar. Tente de novo em instantes."


class BaseCDown(DependencyDown):
    """Redis does not answer."""

    code = "base_c_down"
    detail = "A base C está fora do ar. Tente de novo em instantes."


class KeyServiceDown(DependencyDown):
    """The key management service does not answer, so base A can be neither opened nor sealed."""

    code = "key_service_down"
    detail = "O serviço de chaves está fora do ar. Tente de novo em instantes."


class RecordUnreadable(Conflict):
    """A field does not open under its row, column and key: it was moved or changed, or its key is missing."""

    status: ClassVar[int] = 500
    code = "record_unreadable"
    title = "Registro ilegível"
    detail = "O registro não pôde ser aberto com segurança. Quem opera o sistema foi avisado."


class ModelNotFound(NotFound):
    """No model of this version is stored, nor does it come with the product."""

    code = "credit_model_not_found"
    detail = "Modelo de crédito não encontrado."


class ModelInForce(Conflict):
    """The chosen model is in force already."""

    code = "credit_model_in_force"
    detail = "Este modelo já está em vigor."


class ModelOvertaken(Conflict):
    """Another model was chosen meanwhile; `in_force` names it."""

    code = "credit_model_overtaken"
    detail = "Outro modelo entrou em vigor desde então. Compare de novo antes de escolher."
