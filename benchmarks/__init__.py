"""The measurements behind the claims about performance."""
