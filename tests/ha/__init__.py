"""High availability: three machines, each fault under load, and nothing that was acknowledged is lost."""
