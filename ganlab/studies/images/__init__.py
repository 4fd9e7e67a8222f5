"""Images one by one: nearest neighbours, best scores, what D looks at."""
