"""Runs the scripts of tutorials/, and makes a page and a notebook of each."""

from __future__ import annotations

import functools
import os
import pathlib
from typing import Any

import jupytext
from mkdocs.structure.files import File
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

TUTORIALS = pathlib.Path(__file__).resolve().parents[2] / "tutorials"
SOURCES = "This page is what `tutorials/{0}.py` does, also as a [notebook]({0}.ipynb)."


def on_files(files: Any, config: Any) -> None:
    """Add the pages to the site; MkDocs calls this once for every build."""
    for script in sorted(TUTORIALS.glob("[0-9]*.py")):
        outputs = _rendered(script.stem, script.read_text(encoding="utf-8"))
        for name, content in outputs.items():
            files.append(File.generated(config, f"tutorials/{name}", content=content))


@functools.cache  # `mkdocs serve` builds again at every change of a page
def _rendered(name: str, script: str) -> dict[str, str | bytes]:
    notebook = jupytext.reads(script, fmt="py:percent")
    os.environ.setdefault("KERAS_LIFTED_DIGITS", "1")
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", coalesce_streams=True
    ).execute()
    for cell in notebook.cells:
        cell["outputs"] = [
            each
            for each in cell.get("outputs", [])
            if each.output_type == "display_data" or each.get("name") == "stdout"
        ]
    markdown, resources = MarkdownExporter().from_notebook_node(
        notebook, {"unique_key": name}
    )
    title, text = markdown.split("\n", 1)
    page = f"{title}\n\n{SOURCES.format(name)}\n{text}"
    return {
        f"{name}.md": page,
        f"{name}.ipynb": jupytext.writes(notebook, fmt="ipynb"),
        **resources["outputs"],
    }
