"""Developers' commands behind `make`: migrations, a shell on the database, a fresh start, and generated pages."""
