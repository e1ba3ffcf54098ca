"""TOML files that a user writes, checked against a model; what is wrong is one line that names the place."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from edge_reid.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:  # the same library under the name that it had before it joined Python
    import tomli as tomllib

Kind = TypeVar("Kind")


def read_toml(path: Path, kind: type[Kind], *, missing: str, **given: Any) -> Kind:
    """The file as a `kind`.

    Args:
        path: the file.
        kind: the model or dataclass.
        missing: what to say where there is no such file.
        given: fields that the file need not have.

    Raises:
        UserError: it is missing, not to be read, no TOML, or does not fit the model.
    """
    try:
        return TypeAdapter(kind).validate_python({**given, **tomllib.loads(path.read_text(encoding="utf-8"))})
    except FileNotFoundError as error:
        raise UserError(missing) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a TOML file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not TOML (not UTF-8 text); give a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML ({error}); mend that place") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            raise UserError(f"{path}: {where}: there is no such entry; {_known(where, kind)}") from error
        raise UserError(f"{path}: {where + ': ' if where else ''}{first['msg']}; mend that entry") from error


def _known(name: str, kind: type[object]) -> str:
    """What may have been meant."""
    names = [name for name in get_type_hints(kind) if not name.startswith("_") and name != "model_config"]
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"choose from {', '.join(names)}"
