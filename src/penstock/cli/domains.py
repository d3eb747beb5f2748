"""`domains`: which there are, and the topics of one."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from .options import URL, Json, Url

app = typer.Typer(help="Domains and their topics.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="DOMAIN", help="The domain's name.")]
Limit = Annotated[int | None, typer.Option(help="Names at most.", min=1)]


@app.command("list")
def list_domains(url: Url = URL, as_json: Json = False) -> None:
    """What domains there are, and how many topics each has."""
    from ..client.connection import connect
    from .show import rows

    with connect(url) as server:
        rows("domains", ["name", "topics"], server.domains(), as_json=as_json)


@app.command()
def topics(domain: Name, url: Url = URL, limit: Limit = None, as_json: Json = False) -> None:
    """The topics of a domain, as `penstock tail DOMAIN/TOPIC` takes them."""
    from ..client.connection import connect
    from .show import rows

    with connect(url) as server:
        found = [{"name": f"{domain}/{name}"} for name in islice(server.domain_topics(domain), limit)]
        rows("domain topics", ["name"], found, as_json=as_json)
