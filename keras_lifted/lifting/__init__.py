"""Lifting: scopes, the structure of a model, and the lifted problem of a batch."""
