"""Calls to other people's services: HTTP, mail, SMS, Redis, each with time-outs."""
