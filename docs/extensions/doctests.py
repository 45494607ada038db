"""Shows the doctests of docstrings as code."""

from __future__ import annotations

from typing import Any

import griffe


class Doctests(griffe.Extension):
    """Puts a fence around every paragraph that begins with `>>>`."""

    def on_object(self, *, obj: Any, **kwargs: Any) -> None:
        """Rewrite the docstring of a loaded object."""
        if obj.docstring is not None:
            parts = obj.docstring.value.split("\n\n")
            obj.docstring.value = "\n\n".join(_fenced(part) for part in parts)


def _fenced(paragraph: str) -> str:
    if not paragraph.startswith(">>>"):
        return paragraph
    return f"```pycon\n{paragraph}\n```"
