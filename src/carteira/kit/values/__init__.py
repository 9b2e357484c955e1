"""Values: centavos, CPF, ids, actors, instants. No I/O."""
