"""`carteira keys …`: the key that signs people's tokens."""

import typer

from carteira.cli.terminal import fail, out, settings_here

app = typer.Typer(no_args_is_help=True, help="Chaves que assinam.")


@app.command("rotate")
def rotate_access_key() -> None:
    """Troca a chave que assina os tokens das pessoas; a antiga ainda confere por 25 horas."""
    from carteira.app import access_key_file
    from carteira.kit.security import tokens

    try:
        kid = tokens.rotate(access_key_file(settings_here()))
    except (OSError, ValueError) as error:
        fail(f"a chave não pôde ser trocada: {error}")
    out.print(f"Nova chave: {kid}", highlight=False)
