"""The code of README and of the site runs; README's table is that of the results.

Arguments are described as they are: `name: type. Sentence. Defaults to X.`

A comment `<!-- only: jax -->` names the one backend of a block; one with
`only: devices` needs several devices: tests/devices has the like of it.
"""

import ast
import inspect
import pathlib
import re

import keras
import pytest

import keras_lifted as kl

ROOT = pathlib.Path(__file__).resolve().parents[1]
BLOCK = re.compile(
    r"(?:<!-- only: (?P<backend>\w+) -->\n)?```python\n(?P<code>.*?)```", re.DOTALL
)
ENTRY = re.compile(r"^ {4}(\S[^:\n]*): (.*(?:\n {5,}.*)*)", re.MULTILINE)
SENTENCES = re.compile(r"\S[^.]*\. \S.*\.$")
VARIADIC = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
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
    assert len(blocks) == text.count("```python")
    for block in blocks:
        if block["backend"] in (None, keras.backend.backend()):
            line = text[: block.start()].count("\n") + 1
            code = "\n" * line + block["code"]
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


def public():
    """Classes and functions of the modules that `keras_lifted` exports, by name."""
    modules = [
        kl,
        *filter(inspect.ismodule, (getattr(kl, name) for name in kl.__all__)),
    ]
    things = {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in modules
        for name in module.__all__
    }
    return {
        name: thing
        for name, thing in things.items()
        if inspect.isclass(thing) or inspect.isfunction(thing)
    }


def test_every_public_class_has_its_place_in_the_api():
    pages = (ROOT / "docs" / "api").glob("*.md")
    shown = {
        line.rsplit(".", 1)[-1]
        for page in pages
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith(":::")
    }
    classes = {each.__name__ for each in public().values() if inspect.isclass(each)}
    assert classes - shown == set()


def with_methods(thing):
    """A class or function and the methods that describe their arguments."""
    yield thing
    for name, method in vars(thing).items() if inspect.isclass(thing) else ():
        method = getattr(thing, name)
        if not name.startswith("_") and "Args:" in (method.__doc__ or ""):
            yield method


def fault(parameter, text, defaults):
    """What is wrong with the text on a parameter, or None."""
    if text is None:
        return "not described"
    if not SENTENCES.match(text):
        return f"not `type. Sentence.`: {text}"
    said = re.search(r"Defaults to (.+?)\.$", text)
    default = parameter.default
    if not defaults or default is inspect.Parameter.empty:
        return said and f"has no default: {text}"
    if not said:
        return f"`Defaults to {default!r}.` is missing: {text}"
    if inspect.isclass(default):
        return default.__name__ not in said[1] and f"another default: {text}"
    named = ast.literal_eval(said[1])
    return named != default and f"the default is {default!r}: {text}"


@pytest.mark.parametrize("name", sorted(public()))
def test_arguments_are_described(name):
    for thing in with_methods(public()[name]):
        text = inspect.cleandoc(thing.__doc__)
        assert not re.search(r"^ +\w+Error: [a-z]", text, re.MULTILINE)
        kind = "Args" if "Args:" in text else "Attributes"
        section = re.search(rf"^{kind}:\n((?: {{4}}.*\n?)*)", text, re.MULTILINE)
        entries = section[1] if section else ""
        texts = {
            entry: " ".join(text.split()) for entry, text in ENTRY.findall(entries)
        }
        parameters = inspect.signature(thing).parameters
        for key, parameter in parameters.items():
            if key != "self" and parameter.kind not in VARIADIC:
                wrong = fault(parameter, texts.get(key), kind == "Args")
                assert not wrong, f"{thing.__qualname__}, {key}: {wrong}"
        if kind == "Args" and not VARIADIC & {p.kind for p in parameters.values()}:
            assert set(texts) <= set(parameters), thing.__qualname__
