"""Values: centavos, CPF, ids, instants. No I/O."""
