"""Requests of people about their data (LGPD, art. 18): asked for, listed with their due day, answered once."""
