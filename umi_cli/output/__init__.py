"""What users see: tables, JSON, CSV on stdout."""
