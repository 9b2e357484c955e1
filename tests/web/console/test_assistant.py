"""The assistant's desk: unanswered questions in groups, and a try-out of what it would answer."""

from uuid import uuid4

from sqlalchemy import text

from carteira.kit.values.ids import uuid7
from tests.support.app import RunningApp
from tests.support.console import desk_of

QUESTIONS, TRY_OUT = "/console/perguntas", "/console/assuntos/experimentar"
HOSTILE = "<b>Como</b> faço?"


async def test_unanswered_questions_are_grouped_and_taken_off(app: RunningApp) -> None:
    often, seldom, once = [f"{name}-{uuid4().hex[:8]}" for name in ("a", "b", "c")]
    insert = text("INSERT INTO chatbot_unanswered (id, question, nearest, asked_at) VALUES (:id, :said, :near, now())")
    async with app.database.transaction() as tx:
        for near, many in ((often, 3), (seldom, 2), (once, 1)):
            for number in range(many):
                said = f"{HOSTILE} {near} {number}"
                await tx.execute(insert, {"id": uuid7(), "said": said, "near": [near, "transporte"]})
    async with desk_of(app, "atendente") as browser:
        page = await browser.get(QUESTIONS)
        groups = page.lines("h-grupos")
        assert groups.index(f"{often} 3") < groups.index(f"{seldom} 2")
        assert not [line for line in groups if once in line], "one question is no group"
        nearest = await browser.get(next(link for link in page.links if f"perto={often}" in link))
        assert [row for row in nearest.rows if often in row] == nearest.rows
        assert len(nearest.rows) == 3
        assert HOSTILE in nearest.text
        assert HOSTILE not in nearest.answer.text
        take_off = next(link for link in nearest.links if link.endswith("/tirar"))
        done = await browser.follow(await browser.send(await browser.get(take_off), take_off))
        assert "Pergunta tirada da lista." in done.text
        assert f"{often} 2" in done.lines("h-grupos")
        assert (await browser.send(await browser.get(take_off), take_off)).status == 404


async def test_a_try_out_tells_the_topic_and_its_answer(app: RunningApp) -> None:
    word = uuid4().hex[:8]
    topic = {
        "title": f"Feira {word}",
        "answer": f"Aos sábados, na praça {word}.",
        "phrases": [f"quando é a feira {word}"],
    }
    made = await app.operator().call("PUT", f"/chatbot/topics/feira-{word}", json=topic)
    assert made.is_success, made.text
    async with desk_of(app, "atendente") as browser:
        form = await browser.get(TRY_OUT)
        known = await browser.send(form, TRY_OUT, None, question=f"quando é a feira {word}?")
        assert f"Responderia com o assunto: Feira {word}" in known.text
        assert f"Aos sábados, na praça {word}." in known.text
        unknown = await browser.send(form, TRY_OUT, None, question="<i>qual</i> a raiz quadrada de dezessete")
        assert "Não saberia responder" in unknown.text
        assert "<i>qual" not in unknown.answer.text
        assert (await browser.send(form, TRY_OUT, None, question="")).status == 422
    async with app.database.transaction() as tx:
        kept = await tx.scalars(text("SELECT details::text FROM audit_log WHERE action = 'assistant_tried_out'"))
    assert word not in "".join(kept), "the audit has the try-out, not the question"
