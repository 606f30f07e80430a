"""Vocabulary shared by all programs: prefixes, identities, parameters, wire formats, errors.  Pure."""
