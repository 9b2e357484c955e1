"""The wallet's pages, one file per area: its routes, its forms and its reads."""
