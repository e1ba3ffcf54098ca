"""The two ways in which a request ends without a result. Everything else is a defect and keeps its traceback."""


class UserError(ValueError):
    """The request was wrong. One line that names the file or option and the remedy; exit code 2."""


class CheckFailed(Exception):  # noqa: N818 (a result, not a fault)
    """The work was done and a check fell short of its bound (accuracy gate, parity). One line; exit code 1."""
