"""Config tree of ganlab; a package so that wheels carry it."""
