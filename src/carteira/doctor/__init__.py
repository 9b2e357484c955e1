"""What `carteira doctor` looks at, each by a function that returns findings: what is, and what to do if it is not well.

Nothing here changes anything. A look that cannot be taken is a finding too.
"""

from carteira.doctor.findings import Diagnosis, Level, worst

__all__ = ["Diagnosis", "Level", "worst"]
