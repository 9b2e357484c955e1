"""High availability, tried: three machines, each fault under load, and nothing that was acknowledged is lost."""
