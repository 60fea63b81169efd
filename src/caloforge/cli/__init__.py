"""The command `caloforge`: one file per command, each importing its heavy parts only when it runs."""

from __future__ import annotations

import os
import sys

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
    generate,
    multiclass,
    simulate,
    train,
)
from caloforge.errors import CaloforgeError

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
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("multiclass")(multiclass.multiclass)
app.command("benchmark")(benchmark.benchmark)


def main() -> None:
    """Run the command line: a user's mistake is one line on stderr and status 2, Ctrl-C is status 130."""
    try:
        app()
    except CaloforgeError as error:
        print(f"caloforge: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("caloforge: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone (as in `| head`): nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
