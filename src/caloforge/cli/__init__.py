"""The command `caloforge`: one file per command, each importing its heavy parts only when it runs."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn, cast

import typer

from caloforge import __version__
from caloforge.cli import (
    benchmark,
    check,
    compare,
    data,
    demo,
    dimension,
    evaluate,
    export,
    generate,
    merge,
    multiclass,
    simulate,
    train,
)
from caloforge.errors import CaloforgeError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a device, or of a user's share of it, that is full."""

INTERRUPTED = 130
"""Status after Ctrl-C, as shells have it."""

TRACEBACK = "CALOFORGE_TRACEBACK"
"""Environment variable that asks for tracebacks of failures in a user's own code."""

app = typer.Typer(
    name="caloforge",
    help="Fast calorimeter showers from learned generators: take showers, train, generate, judge.",
    epilog="Energies are MeV and lengths mm throughout. Each command has its own --help with an example.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"caloforge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
    ),
) -> None:
    pass


# In the order in which a newcomer meets them.
app.command("demo")(demo.demo)
app.command("check")(check.check)
app.add_typer(data.app, name="data")
app.add_typer(simulate.app, name="simulate")
app.command("dimension")(dimension.dimension)
app.command("train")(train.train)
app.command("generate")(generate.generate)
app.command("merge")(merge.merge)
app.command("export")(export.export)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("multiclass")(multiclass.multiclass)
app.command("benchmark")(benchmark.benchmark)


UsageProblem = cast("type[Exception]", typer.BadParameter.__mro__[2])
"""click's ClickException, which typer brings along in some versions and takes from click in others."""


def main() -> None:
    """Run the command line: a user's mistake is one line on stderr and status 2, Ctrl-C is status 130."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may hold bytes that are no UTF-8: print them as such
        sys.stdout.reconfigure(errors="surrogateescape" if sys.stdout.encoding == "utf-8" else "backslashreplace")
    try:
        status = app(standalone_mode=False, prog_name="caloforge")
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        sys.exit(status if isinstance(status, int) else 0)
    except CaloforgeError as error:
        _leave(f"caloforge: {error}", 2)
    except UsageProblem as error:
        _leave(_usage_problem(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        _leave("caloforge: interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone (as in `| head`): nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in FULL:
            raise
        remedy = "make some, or write elsewhere (-o; for temporary files, TMPDIR)"
        with suppress(OSError):
            sys.stdout.flush()
        print(f"caloforge: no space is left to write to: {remedy}", file=sys.stderr, flush=True)
        os._exit(2)  # at an ordinary end the HDF5 library would try to write once more, and crash
    except Exception as error:
        if _is_out_of_memory(error):
            reason = " ".join(str(error).split()).rpartition("] ")[2] or "no more to be had"
            remedy = "take smaller batches (--batch-size, --set training.batch_size=…) or a smaller network"
            _leave(f"caloforge: not enough memory ({reason}): {remedy}", 2)
        fault = _own_code_fault(error)
        if fault is None:
            raise
        _leave(f"caloforge: {fault}; {TRACEBACK}=1 before the command shows the whole traceback", 2)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether Python, numpy or PyTorch could not get the memory that it asked for."""
    of_torch = isinstance(error, RuntimeError) and ("DefaultCPUAllocator" in str(error) or "alloc_cpu" in str(error))
    return isinstance(error, MemoryError) or of_torch or type(error).__name__ == "OutOfMemoryError"


def _leave(message: str, status: int) -> NoReturn:
    if message:
        print(message, file=sys.stderr)
    sys.exit(status)


def _usage_problem(error: Any) -> str:
    """What click found wrong with the command line, in one line that names the command and the value."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return str(error.format_message())  # the help text, or nothing where it has been shown already
    command = "caloforge" if error.ctx is None else error.ctx.command_path
    message = " ".join(error.format_message().split()).rstrip(".")
    if hasattr(error.__cause__, "errors"):  # pydantic's, which typer words without the value
        message += f", not {error.__cause__.errors()[0]['input']!r}"
    if message.startswith("No such command") and "Did you mean" not in message:
        message += f" (there are {', '.join(error.ctx.command.list_commands(error.ctx))})"
    return f"{command}: {message}; {command} --help says more"


def _own_code_fault(error: Exception) -> str | None:
    """One line for a failure in a user's own class, unless the whole traceback is wanted."""
    if os.environ.get(TRACEBACK) or "caloforge.registry" not in sys.modules:
        return None
    from caloforge.registry import own_code_fault

    return own_code_fault(error)
