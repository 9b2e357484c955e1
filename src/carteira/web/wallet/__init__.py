"""The wallet's pages, an area a file: its routes, its forms and what it reads."""
