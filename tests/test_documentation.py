"""The code of README and of the site runs; README's table is that of the results.

A comment `<!-- setup ... -->` before a block holds what a reader has already: a model,
data. A comment `<!-- only: jax -->` names the one backend of a block; one with
`only: devices` needs several devices: tests/devices has the like of it.
"""

import inspect
import pathlib
import re

import keras
import pytest

import keras_lifted as kl

ROOT = pathlib.Path(__file__).resolve().parents[1]
BLOCK = re.compile(
    r"<!-- setup\n(?P<setup>.*?)-->"
    r"|(?:<!-- only: (?P<backend>\w+) -->\n)?```python\n(?P<code>.*?)```",
    re.DOTALL,
)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    names = {"__name__": "page"}
    blocks = list(BLOCK.finditer(text))
    assert len([block for block in blocks if block["code"]]) == text.count("```python")
    for block in blocks:
        if block["backend"] in (None, keras.backend.backend()):
            line = text[: block.start()].count("\n") + 1
            code = "\n" * line + (block["setup"] or block["code"])
            exec(compile(code, page.name, "exec"), names)


def test_the_table_of_readme_is_that_of_the_results():
    readme = pytest.importorskip("benchmarks.readme")
    from benchmarks import store

    text = readme.README.read_text(encoding="utf-8")
    assert readme.filled(text, store.load()) == text


def test_readme_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_every_public_class_has_its_place_in_the_api():
    pages = (ROOT / "docs" / "api").glob("*.md")
    shown = {
        line.rsplit(".", 1)[-1]
        for page in pages
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith(":::")
    }
    modules = [kl, *(each for _, each in inspect.getmembers(kl, inspect.ismodule))]
    public = {
        name
        for module in modules
        for name in getattr(module, "__all__", ())
        if inspect.isclass(getattr(module, name))
    }
    assert public - shown == set()
