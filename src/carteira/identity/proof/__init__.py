"""Proof of a CPF: whose it is, told by gov.br or by an operator who saw person and paper.

Invariants: a CPF that somebody typed opens nothing that other modules keep under it; of two people one at most has a
CPF, and who proves it takes it from who only typed it, in one transaction; of two who both prove it nobody is moved.
"""
