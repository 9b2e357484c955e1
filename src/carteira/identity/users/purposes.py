"""Purposes that people may consent to, each by itself (LGPD art. 8)."""

from typing import Literal, get_args

Purpose = Literal["marketing", "credit_profile", "product_improvement"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
