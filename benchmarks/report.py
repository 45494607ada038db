"""Writes the page of results."""


def page(records: list) -> str:
    """Return Markdown."""
    return ""
