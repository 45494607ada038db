"""Installs keras_lifted."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).resolve().parent


def version() -> str:
    """The one version number, read without importing the package."""
    text = (HERE / "keras_lifted" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError("keras_lifted/__init__.py has no `__version__` line")
    return found.group(1)


TENSORBOARD = ["tensorboard"]
EXAMPLES = [
    "importlib_resources",  # tensorflow-datasets needs it without asking for it
    "matplotlib",
    "scikit-image",
    "scikit-learn",
    "tensorflow-datasets",
    *TENSORBOARD,
]
DOCS = [
    "ipykernel",
    "jupytext",
    "latex2mathml",
    "mkdocs-material",
    "mkdocstrings[python]",
    "nbconvert",
    *EXAMPLES,
]
JAX = ["jax[cpu]"]
DEV = ["hypothesis", "mypy", "pytest", "pytest-xdist", "ruff", "scipy", *EXAMPLES]

setup(
    name="keras-lifted",
    version=version(),
    description="Lifted training and inversion for Keras 3",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The keras_lifted authors",
    project_urls={"Paper": "https://arxiv.org/abs/2510.09796"},
    license="MIT",
    keywords=[
        "keras",
        "lifted training",
        "block coordinate descent",
        "Bregman",
        "proximal",
        "optimizer",
        "inverse problems",
        "jax",
        "tensorflow",
    ],
    packages=find_packages(include=["keras_lifted", "keras_lifted.*"]),
    package_data={"keras_lifted": ["py.typed"]},
    zip_safe=False,
    python_requires=">=3.11",
    install_requires=["keras>=3.8", "numpy", "tensorflow>=2.18"],
    extras_require={
        "dev": DEV,
        "docs": DOCS,
        "examples": EXAMPLES,
        "jax": JAX,
        "tensorboard": TENSORBOARD,
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
