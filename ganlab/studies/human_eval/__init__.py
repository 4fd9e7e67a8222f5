"""Human eyes: the real-or-fake page, its trials and its results."""
