"""The `caloforge` command: one file per subcommand; slow imports happen only when it runs."""

from __future__ import annotations

import atexit
import gc
import io
import os
import re
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any, NoReturn, cast

import typer

from caloforge import __version__
from caloforge.cli import (
    benchmark,
    benchmark_geant4,
    check,
    compare,
    convert,
    data,
    demo,
    dimension,
    evaluate,
    export,
    generate,
    merge,
    models,
    multiclass,
    reweight,
    simulate,
    train,
    view,
)
from caloforge.cli.renamed import instead_of
from caloforge.cli.several_files import SeveralFiles
from caloforge.cli.stopping import INTERRUPTED, ignore_interruptions, signals_interrupt
from caloforge.cli.streams import make_streams_patient
from caloforge.errors import CaloforgeError, CaloforgeWarning, command_line_words
from caloforge.files import FULL

NARROWEST = 20
"""Columns; a smaller COLUMNS is not a valid width of a terminal."""

SPINS = "5000"
"""How often a thread of GNU OpenMP, which PyTorch uses on Linux, looks for work before it sleeps: 300 000 by default.

Where another process has one of the cores, threads that spin keep the one that they wait for from running.
"""

TRACEBACK = "CALOFORGE_TRACEBACK"
"""Environment variable: show tracebacks of errors in the user's own code."""

app = typer.Typer(
    name="caloforge",
    help="Learned calorimeter-shower generators: get or simulate showers, train, generate, evaluate.",
    epilog="All energies are in MeV and all lengths in mm. Each command has its own --help with an example.",
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
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    context.with_resource(command_line_words())


# In the order a new user needs them.
app.command("demo")(demo.demo)
app.command("check")(check.check)
app.add_typer(data.app, name="data")
app.add_typer(simulate.app, name="simulate")
app.command("dimension")(dimension.dimension)
app.add_typer(models.app, name="models")
app.command("train", cls=SeveralFiles)(train.train)
app.command("generate")(generate.generate)
app.command("merge")(merge.merge)
app.command("convert")(convert.convert)
app.command("export")(export.export)
app.command("view")(view.view)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("multiclass")(multiclass.multiclass)
app.command("reweight")(reweight.reweight)
app.command("benchmark")(benchmark.benchmark)
app.command("benchmark-geant4")(benchmark_geant4.benchmark_geant4)


UsageProblem = cast("type[Exception]", typer.BadParameter.__mro__[2])
"""click's ClickException: some versions of typer bundle it, others import it from click."""


def main() -> None:
    """Run the command line: a user-correctable error is one line on stderr and status 2, Ctrl-C is status 130."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    atexit.register(gc.freeze)  # at its end Python would look through all of PyTorch's objects: half a second
    make_streams_patient()
    _find_width()
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names may contain non-UTF-8 bytes: print them unchanged
        sys.stdout.reconfigure(errors="surrogateescape" if sys.stdout.encoding == "utf-8" else "backslashreplace")
    try:
        _refuse_empty(sys.argv[1:])
        with signals_interrupt():
            status = app(standalone_mode=False, prog_name="caloforge")
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        sys.exit(status if isinstance(status, int) else 0)
    except (CaloforgeError, CaloforgeWarning) as error:  # a warning where PYTHONWARNINGS makes it an error
        _leave(f"caloforge: {' '.join(str(error).splitlines())}", 2)
    except UsageProblem as error:
        _leave(_usage_problem(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        ignore_interruptions()
        _leave("caloforge: interrupted", INTERRUPTED)
    except OSError as error:
        if error.errno not in FULL:
            if os.environ.get(TRACEBACK) or error.errno is None:
                raise
            _leave(f"caloforge: {_of_the_system(error)}; set {TRACEBACK}=1 for the full traceback", 2)
        remedy = "free some space, or write elsewhere (-o; TMPDIR for temporary files)"
        with suppress(OSError):
            sys.stdout.flush()
        with suppress(OSError):
            print(f"caloforge: no space left on the device: {remedy}", file=sys.stderr, flush=True)
        os._exit(2)  # at an ordinary exit whatever is buffered would be written once more
    except Exception as error:
        if _is_out_of_memory(error):
            reason = " ".join(str(error).split()).rpartition("] ")[2] or "none left"
            remedy = "use smaller batches (--batch-size, --set training.batch_size=…) or a smaller network"
            _leave(f"caloforge: not enough memory ({reason}): {remedy}", 2)
        fault = _own_code_fault(error)
        if fault is None:
            raise
        _leave(f"caloforge: {fault}; set {TRACEBACK}=1 for the full traceback", 2)


def _refuse_empty(words: list[str]) -> None:
    """Refuse empty arguments, as of `-o "$OUT"` without such a variable: an empty path is the current folder."""
    for before, word in pairwise(["", *words]):
        if word == "" or re.fullmatch(r"--[a-z-]+=", word):
            where = f" after {before}" if before.startswith("-") else f" ({word})" if word else ""
            raise CaloforgeError(f"an argument{where} is empty: is a variable of the shell not set?")


OUT_OF_MEMORY = ("DefaultCPUAllocator", "alloc_cpu", "out of memory", "ALLOC_FAILED", "Cannot allocate memory")
"""In PyTorch's errors: of the CPU twice, of CUDA and MPS, of CUDA's libraries, of mapped files."""


def _is_out_of_memory(error: Exception) -> bool:
    """Whether Python, numpy or PyTorch could not allocate memory.

    Except on CUDA, PyTorch raises a plain RuntimeError that can only be recognised by its text.
    """
    of_torch = isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)
    return isinstance(error, MemoryError) or of_torch


def _of_the_system(error: OSError) -> str:
    """What the operating system refused, and of which file."""
    names = [os.fspath(name) for name in (error.filename, error.filename2) if isinstance(name, str | os.PathLike)]
    return f"{' -> '.join(names)}: {error.strerror}" if names else str(error.strerror)


def _find_width() -> None:
    """Forget a COLUMNS that is not a valid width, as batch systems set it: nothing would be printed at all."""
    if "COLUMNS" in os.environ and not (os.environ["COLUMNS"].isdecimal() and int(os.environ["COLUMNS"]) >= NARROWEST):
        del os.environ["COLUMNS"]


_usual_warning = warnings.showwarning


def _show_warning(message: Any, category: type[Warning], *where: Any, **stream: Any) -> None:
    if issubclass(category, CaloforgeWarning):
        print(f"note: {message}", file=sys.stderr)
    else:
        _usual_warning(message, category, *where, **stream)


def _leave(message: str, status: int) -> NoReturn:
    with suppress(OSError):  # nobody reads it any more
        print(message, end="\n" if message else "", file=sys.stderr, flush=True)
    sys.exit(status)


def _usage_problem(error: Any) -> str:
    """What is wrong with the command line, in one line that names the command and the value."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return str(error.format_message())  # the help text, or nothing if it has been shown already
    command = "caloforge" if error.ctx is None else error.ctx.command_path
    message = " ".join(error.format_message().split()).rstrip(".").replace("Value error, ", "")
    if hasattr(error.__cause__, "errors"):  # pydantic's, often without the value in typer's message
        message = _of_a_value(message, error.__cause__.errors()[0])
    option = getattr(error, "option_name", None)
    remedy = instead_of(command, option) if isinstance(option, str) else None
    if remedy is not None:
        return f"{command} has no option {option} any more: {remedy}"
    if message.startswith("No such command") and "Did you mean" not in message:
        message += f" (commands: {', '.join(error.ctx.command.list_commands(error.ctx))})"
    return f"{command}: {message}; see {command} --help"


LIMITS = {"greater_than_equal": ("ge", "at least"), "less_than_equal": ("le", "at most")}
"""Pydantic's types of errors: where the limit is, and what a value must be."""


def _of_a_value(message: str, fault: Mapping[str, Any]) -> str:
    """Message about a value of the wrong type or size: `Invalid value for '-n': '1.5' is not an integer`."""
    value, kind = str(fault["input"]), fault["type"]
    if kind in LIMITS:
        limit, words = LIMITS[kind]
        said = f"it must be {words} {fault['ctx'][limit]}, not {value}"
    elif kind.startswith("int_"):
        said = f"'{value}' is not an integer"
        with suppress(ValueError):
            said += f" (write {float(value):.0f})" if float(value).is_integer() else ""
    elif kind == "float_parsing":
        said = f"'{value}' is not a number"
    else:
        return message if repr(value) in message else f"{message}, not '{value}'"
    return f"{message.partition(':')[0]}: {said}"


def _own_code_fault(error: Exception) -> str | None:
    """One line for an error in the user's own class, unless the full traceback is wanted."""
    if os.environ.get(TRACEBACK) or "caloforge.registry" not in sys.modules:
        return None
    from caloforge.registry import own_code_fault

    return own_code_fault(error)
