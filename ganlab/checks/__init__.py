"""What a plain value may be: by an annotation, by the name of its key, field by field in a file."""
