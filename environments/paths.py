"""Where files live on a user's machine. Every place can be moved by an environment variable."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Where downloaded and built tools are kept (`MOD209_CACHE`, else `$XDG_CACHE_HOME/mod209`)."""
    return _place("MOD209_CACHE", "XDG_CACHE_HOME", ".cache")


def state_dir() -> Path:
    """Where running footprints keep their state (`MOD209_STATE`, else `$XDG_STATE_HOME/mod209`)."""
    return _place("MOD209_STATE", "XDG_STATE_HOME", ".local/state")


def config_dir() -> Path:
    """Where an instructor's keys are kept (`MOD209_CONFIG`, else `$XDG_CONFIG_HOME/mod209`)."""
    return _place("MOD209_CONFIG", "XDG_CONFIG_HOME", ".config")


def _place(own: str, xdg: str, below_home: str) -> Path:
    if value := os.environ.get(own):
        return Path(value).expanduser().absolute()
    base = os.environ.get(xdg)
    return (Path(base) if base else Path.home() / below_home) / "mod209"
