"""`penstock`: the commands, and the one place where an error becomes a line and an exit code.

Exit codes: 0 done; 1 the work failed, or `check` found something; 2 it could not start (arguments, app file, address,
data directory); 130 interrupted.

The command modules import nothing but typer at their top: `penstock --help` must not wait for Arrow.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import CannotStart, DeclarationError, LogUnusable, PenstockError
from . import (
    audit,
    backup,
    dead,
    demo,
    deploy,
    domains,
    events,
    keys,
    migrate,
    models,
    repair,
    scale,
    serve,
    subscriptions,
    topics,
)

COULD_NOT_START = (CannotStart, DeclarationError, LogUnusable)


class OutermostGroup(TyperGroup):
    """The outermost group: what Penstock raises on purpose is said in one line, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PenstockError as error:
            if ctx.params.get("debug"):
                raise
            if str(error):
                print(f"penstock: {error}", file=sys.stderr)
            raise typer.Exit(2 if isinstance(error, COULD_NOT_START) else 1) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:  # `penstock tail … | head`
            sys.stderr.close()
            raise typer.Exit(0) from None


app = typer.Typer(
    cls=OutermostGroup,
    help="Events in, predictions out: an event-driven machine-learning system in one Python file.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def common(
    debug: Annotated[bool, typer.Option(help="Show where in the code an error came from.")] = False,
    ca_file: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            envvar="PENSTOCK_CA_FILE",
            show_default="SSL_CERT_FILE, or Mozilla's",
            help="The authorities, in PEM, that servers with --url https://… are trusted by.",
        ),
    ] = "",
) -> None:
    """``debug`` is read by ``OutermostGroup``, and ``ca_file`` by whatever client a command makes."""
    if ca_file:
        os.environ["PENSTOCK_CA_FILE"] = ca_file


app.command(epilog="Such as: penstock run app.py --data shop --workers 2")(serve.run)
app.command(epilog="Such as: penstock dev app.py")(serve.dev)
app.command(epilog="Such as: penstock check app.py --against http://127.0.0.1:8000 --out app.svg")(serve.check)
app.command(epilog="Such as: penstock deploy app.py --target azure --dry-run --draw app.svg")(deploy.deploy)
app.command(epilog="Such as: penstock repair .penstock")(repair.repair)
app.command(epilog="Such as: penstock backup /backups/monday --data .penstock")(backup.backup)
app.command(epilog="Such as: penstock migrate --from sqlite:.penstock --to kafka://broker:9092/shop")(migrate.migrate)
app.command()(demo.demo)
app.command()(demo.bench)
app.command(epilog="Such as: penstock publish payments.csv payments")(events.publish)
app.command(epilog="Such as: penstock tail scores --follow")(events.tail)
app.command(epilog="Such as: penstock groups --url http://127.0.0.1:8000")(events.groups)
app.command(epilog="Such as: penstock scale-hint --url http://host-1:8000 --url http://host-2:8000")(scale.scale_hint)
app.command(epilog="Such as: penstock audit --limit 20")(audit.audit)
app.add_typer(topics.app, name="topics", epilog="Such as: penstock topics --json")
app.add_typer(models.app, name="models")
app.add_typer(domains.app, name="domains", epilog="Such as: penstock domains topics tx --limit 20")
app.add_typer(dead.app, name="dead")
app.add_typer(subscriptions.app, name="subscriptions")
app.add_typer(keys.app, name="keys", epilog="Such as: penstock keys create acme --allow append:orders --days 90")
