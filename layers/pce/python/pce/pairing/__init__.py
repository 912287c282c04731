"""Pairing profiles, activation codes and agent tokens. Pure."""
