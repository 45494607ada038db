"""Typesets formulas as MathML, which browsers show without a script or a network.

Formulas are written as on GitHub: fences of the language "math", and $`...`$ in a line.
"""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert

DISPLAY = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"\$`(.+?)`\$")


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Replace formulas by MathML; MkDocs calls this for every page."""
    markdown = DISPLAY.sub(lambda found: _mathml(found[1], "block"), markdown)
    return INLINE.sub(lambda found: _mathml(found[1], "inline"), markdown)


def _mathml(formula: str, display: str) -> str:
    mathml = convert(" ".join(formula.split()), display=display)
    tag = "div" if display == "block" else "span"
    return f'<{tag} class="formula">{mathml}</{tag}>'
