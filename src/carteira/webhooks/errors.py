"""Problems of webhooks.

Indentation shows inheritance; numbers are HTTP statuses:

    NotFound                                404
      WebhookNotFound
      DeliveryNotFound
    Forbidden                               403
      EventNotReadable
    InvalidInput                            422
      AddressNotCalled
    Conflict                                409
      TooManyWebhooks
      TooManyWebhookSecrets
      WebhookDisabled
"""

from carteira.kit.web.problems import Conflict, Forbidden, InvalidInput, NotFound


class WebhookNotFound(NotFound):
    """There is no such endpoint, or it is another client's (404)."""

    code = "webhook_not_found"
    detail = "Esse webhook não existe."


class DeliveryNotFound(NotFound):
    """The endpoint has no such delivery, or it was deleted (404)."""

    code = "delivery_not_found"
    detail = "Esse webhook não recebeu, nem ia receber, uma mensagem com esse id."


class EventNotReadable(Forbidden):
    """The client lacks an event's claim (403)."""

    code = "event_not_readable"
    detail = "O cliente não tem a permissão que um dos eventos pede."

    def __init__(self, events: list[str] | None = None) -> None:
        super().__init__(events=events or [])


class AddressNotCalled(InvalidInput):
    """The address must not be called (422)."""

    code = "address_not_called"
    detail = "Esse endereço não pode receber webhooks."

    def __init__(self, why: str | None = None) -> None:
        super().__init__(errors=[{"field": "url", "message": why or self.detail}])


class TooManyWebhooks(Conflict):
    """The client has reached the limit of enabled endpoints (409)."""

    code = "too_many_webhooks"
    detail = "O cliente já tem o máximo de webhooks ligados. Desligue um antes."


class TooManyWebhookSecrets(Conflict):
    """Two secrets are valid already (409)."""

    code = "too_many_webhook_secrets"
    detail = "Dois segredos já valem: espere o anterior vencer, ou troque com `overlap_hours` 0."


class WebhookDisabled(Conflict):
    """The endpoint is disabled (409)."""

    code = "webhook_disabled"
    detail = "O webhook está desligado. Ligue-o antes."
