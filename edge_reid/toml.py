"""TOML files that a user writes, checked against a model; what is wrong is one line that names the place."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from edge_reid.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:  # the same library under the name that it had before it joined Python
    import tomli as tomllib

Kind = TypeVar("Kind", bound=BaseModel)


def read_toml(path: Path, kind: type[Kind], *, missing: str, **given: Any) -> Kind:
    """The file as a `kind`.

    Args:
        path: the file.
        kind: the model.
        missing: what to say where there is no such file.
        given: fields that the file need not have.

    Raises:
        UserError: it is missing, no TOML, or does not fit the model.
    """
    try:
        return kind.model_validate({**given, **tomllib.loads(path.read_text(encoding="utf-8"))})
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(missing) from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML ({error}); mend that place") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; mend that entry") from error
