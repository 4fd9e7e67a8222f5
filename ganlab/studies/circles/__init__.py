"""Circular artifacts: found in feature maps, traced to a unit, compared between norms."""
