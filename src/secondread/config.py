"""Where a setting comes from: flags, then the plan's YAML, then ``SECONDREAD_*``, then the user's own file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondread.errors import UsageError

PREFIX = "SECONDREAD_"


def settings(flags: Mapping[str, Any], yaml_file: Path | None = None) -> dict[str, Any]:
    """Plan overrides from all four places; the earlier in the order above wins.

    Raises:
        UsageError: a file that is missing or no YAML mapping.
    """
    from secondread.train.plan import KNOWN_OVERRIDES

    known = {name.upper(): name for name in (*flags, *KNOWN_OVERRIDES)}
    environment = {
        known[key.removeprefix(PREFIX)]: value
        for key, value in os.environ.items()
        if value and key.startswith(PREFIX) and key.removeprefix(PREFIX) in known
    }
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
    personal = Path(home) / "secondread" / "plan.yaml"
    merged = (_yaml(personal) if personal.is_file() else {}) | environment
    merged |= _yaml(yaml_file) if yaml_file else {}
    return merged | {name: value for name, value in flags.items() if value is not None}


def whole_number(name: str, value: Any) -> int:
    """``value`` of the setting ``name``, 0 or more, whether a flag, a file or the environment gave it.

    Raises:
        UsageError: it is no such number.
    """
    try:
        number = int(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} must be a whole number, got {value!r}") from error
    if number < 0:
        raise UsageError(f"{name} must be 0 or more, got {number}")
    return number


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f"line {where.line + 1}: " if where else ""
        raise UsageError(f"{path} is no YAML: {line}{getattr(error, 'problem', None) or error}") from error
    if content is not None and not isinstance(content, dict):
        raise UsageError(f"{path} must map names to values, like 'optimizer: rmsprop'")
    return {str(name): value for name, value in (content or {}).items()}
