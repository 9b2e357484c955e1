"""The checks of `carteira doctor`: functions that return findings with advice.

They change nothing. A check that cannot be made is a finding too.
"""

from carteira.doctor.findings import Diagnosis, Level, worst

__all__ = ["Diagnosis", "Level", "worst"]
