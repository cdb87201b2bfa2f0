"""What Beam's ``--setup_file`` stages to remote workers; everything is declared in ``pyproject.toml``."""

from setuptools import setup

setup()
