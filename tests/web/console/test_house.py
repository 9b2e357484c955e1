"""Jobs that were given up: what each is, why it failed, and another try."""

from sqlalchemy import text

from tests.support.app import RunningApp
from tests.support.console import desk_of

JOBS = "/console/trabalhos"
_FAILED = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, status, attempts, args)
    VALUES ('default', 'identity:tell_cpf_proven', 'failed', 8,
            '{"failure": ["SMTPServerDisconnected", "SMTPException", "OSError"], "user_id": "1"}'),
           ('default', 'ledger:verify', 'failed', 5, '{}'),
           ('default', 'gone:job', 'failed', 1, '{"failure": ["<b>Odd</b>"]}')
    RETURNING id
"""


async def test_a_given_up_job_says_what_it_is_and_why_and_is_tried_again_once(app: RunningApp) -> None:
    async with app.database.transaction() as tx:
        await tx.execute(text("DELETE FROM procrastinate_jobs WHERE status = 'failed'"))
        mail, proof, gone = list(await tx.scalars(text(_FAILED)))
    path = f"{JOBS}/{mail}/repetir"
    async with desk_of(app, "auditor") as auditor:
        listed = await auditor.get(JOBS)
        assert path not in listed.links, "an auditor only looks"
        refused = "O servidor de e-mail não respondeu ou recusou SMTPServerDisconnected"
        unknown = "Sem causa anotada: o worker parou no meio, ou foi antes desta versão; veja o log"
        said = (
            f"{mail} Avisar de um CPF comprovado identity:tell_cpf_proven {refused} 8",
            f"{proof} Conferir a cadeia do livro-razão ledger:verify {unknown} 5",
            f"{gone} gone:job gone:job Um erro sem nome conhecido; ele está inteiro no log <b>Odd</b> 1",
        )
        for row, told in zip(listed.rows, said, strict=True):
            assert row.startswith(told)
        assert "<b>Odd" not in listed.answer.text
    async with desk_of(app, "administrador") as first, desk_of(app, "administrador") as second:
        hers, his = await first.get(path), await second.get(path)
        assert "O que já tinha feito não é feito duas vezes." in hers.text
        done = await first.follow(await first.send(hers, path))
        assert f"Trabalho {mail} de volta à fila." in done.text
        assert path not in done.links
        late = await second.send(his, path)
        assert (late.status, "alguém já decidiu" in late.text) == (404, True)
    async with app.database.transaction() as tx:
        args = await tx.scalar(
            text("SELECT args FROM procrastinate_jobs WHERE id = :id AND status = 'todo'"), {"id": mail}
        )
        await tx.execute(
            text("DELETE FROM procrastinate_jobs WHERE id IN (:a, :b, :c)"), {"a": mail, "b": proof, "c": gone}
        )
    assert args == {"user_id": "1"}, "the next try gets what was asked for"
