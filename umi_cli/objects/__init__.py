"""Data objects: values, datasheets and the catalogue that finds them by name (protocol 4)."""
