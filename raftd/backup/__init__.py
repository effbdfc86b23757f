"""New clusters out of what is left of old ones: of a backup, or of a lost majority's survivor."""
