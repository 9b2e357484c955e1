"""`python -m carteira` is `carteira`."""

from carteira.cli import main

main()
