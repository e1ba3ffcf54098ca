"""`edge-reid COMMAND`: parse, run, and turn an error into one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

from tyro.conf import subcommand

from edge_reid.command_line import nobody_reads, parse_words
from edge_reid.commands import (
    Ablate,
    Benchmark,
    CalibrateMatching,
    Compile,
    Data,
    Demo,
    Doctor,
    Embed,
    Evaluate,
    Export,
    Fleet,
    Gallery,
    Prune,
    Quantize,
    Recipes,
    Synth,
    Train,
)  # fmt: skip
from edge_reid.errors import CheckFailed, UserError, one_line

Command = (
    Annotated[Demo, subcommand("demo")]
    | Annotated[Synth, subcommand("synth")]
    | Annotated[Data, subcommand("data")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Recipes, subcommand("recipes")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Ablate, subcommand("ablate")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Prune, subcommand("prune")]
    | Annotated[Quantize, subcommand("quantize")]
    | Annotated[Compile, subcommand("compile")]
    | Annotated[Benchmark, subcommand("benchmark")]
    | Annotated[CalibrateMatching, subcommand("calibrate-matching")]
    | Annotated[Gallery, subcommand("gallery")]
    | Annotated[Fleet, subcommand("fleet")]
    | Annotated[Embed, subcommand("embed")]
    | Annotated[Doctor, subcommand("doctor")]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run; return the exit code: 0 done, 1 a check fell short, 2 the request was wrong."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    about = "Visible-thermal person re-identification, from pictures to a device."
    try:
        parse_words(Command, words, program="edge-reid", description=about).run()
        sys.stdout.flush()
    except BrokenPipeError:
        return nobody_reads()
    except (UserError, CheckFailed, OSError, ImportError) as error:
        if debug:
            raise
        print(f"edge-reid: {one_line(error)}", file=sys.stderr)
        return 1 if isinstance(error, CheckFailed) else 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
