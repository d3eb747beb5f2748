"""`models`: what is registered, and which version an alias points to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import URL, Json, Url

app = typer.Typer(help="Models: list, versions, register, promote, rollback, alias.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")]
Version = Annotated[int, typer.Argument(help="The number of a version.", min=1)]
Artifact = Annotated[Path, typer.Argument(help="The model's file.", exists=True, dir_okay=False)]
Trust = Annotated[str | None, typer.Option(help="sha256:HEX of a file that may execute code when it is loaded.")]
Metric = Annotated[list[str] | None, typer.Option("--metric", help="NAME=NUMBER; may be given several times.")]
Owner = Annotated[
    Path | None,
    typer.Option(
        "--data", help="The server's data directory, for --trust, where its secret is not found by the address."
    ),
]
Wait = Annotated[
    float | None,
    typer.Option(help="Seconds to wait until every scorer there has it; 1 is the exit code when one has not.", min=0),
]
Expected = Annotated[int | None, typer.Option(help="Only if the alias points there now; 0: to nothing.", min=0)]


@app.command("list")
def list_models(url: Url = URL, as_json: Json = False) -> None:
    """Every model, its number of versions and its aliases."""
    from ..client.connection import connect
    from .show import rows

    with connect(url) as server:
        found = server.models()
    shown = [m if as_json else m | {"versions": len(m["versions"]), "aliases": _aliases(m)} for m in found]
    rows("models", ["name", "versions", "aliases"], shown, as_json=as_json)


@app.command()
def versions(model: Name, url: Url = URL, as_json: Json = False) -> None:
    """The versions of a model, with their metrics, who points to them and who scores with them."""
    from ..client.connection import connect
    from .show import rows

    with connect(url) as server:
        found = server.model(model)
    shown = [_version(v, found) | (v if as_json else {}) for v in found["versions"]]
    names = ["version", "aliases", "scored_by", "runtime", "registered", "metrics", "digest"]
    rows("versions", names, shown, as_json=as_json)
    if not as_json:
        for scorer in found["scorers"]:
            if scorer["behind"]:
                print(f"{scorer['process']}, {scorer['stage']}: {scorer['behind']}")


@app.command()
def register(
    model: Name,
    artifact: Artifact,
    url: Url = URL,
    trust: Trust = None,
    metric: Metric = None,
    data: Owner = None,
    as_json: Json = False,
) -> None:
    """Register a file as a model's next version. The first one becomes the champion; later ones wait to be promoted."""
    from ..client.connection import connect

    with connect(url, data=data) as server:
        version = server.register_model(model, artifact, trust=trust, metrics=_metrics(metric or []))
    _say({"model": model, "version": version}, f"{model}/{version} is registered", as_json)


@app.command()
def promote(model: Name, version: Version, url: Url = URL, wait: Wait = None, as_json: Json = False) -> None:
    """Make a version the champion: scorers load it, and take it at the batch after."""
    from ..client.connection import connect

    with connect(url) as server:
        server.promote(model, version, wait=wait)
    _say({"model": model, "alias": "champion", "version": version}, f"{model}@champion is version {version}", as_json)


@app.command()
def rollback(
    model: Name,
    url: Url = URL,
    name: Annotated[str, typer.Option("--alias", help="The alias to move.")] = "champion",
    wait: Wait = None,
    as_json: Json = False,
) -> None:
    """Point an alias to the version that it pointed to before."""
    from ..client.connection import connect

    with connect(url) as server:
        before, now = server.rollback(model, alias=name, wait=wait)
    said = f"{model}@{name} is version {now} again; it was version {before}"
    _say({"model": model, "alias": name, "version": now, "from": before}, said, as_json)


@app.command()
def alias(
    model: Name,
    name: Annotated[str, typer.Argument(metavar="ALIAS", help="The alias.")],
    version: Version,
    url: Url = URL,
    expected: Expected = None,
    as_json: Json = False,
) -> None:
    """Point an alias to a version."""
    from ..client.connection import connect

    with connect(url) as server:
        server.set_alias(model, name, version, expected=expected)
    _say({"model": model, "alias": name, "version": version}, f"{model}@{name} is version {version}", as_json)


def _aliases(model: dict[str, Any]) -> str:
    return ", ".join(f"{name} → {at['version']}" for name, at in model["aliases"].items())


def _version(version: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    pointing = [name for name, at in model["aliases"].items() if at["version"] == version["version"]]
    return version | {
        "aliases": ", ".join(pointing),
        "scored_by": ", ".join(sorted({s["stage"] for s in model["scorers"] if s["version"] == version["version"]})),
        "registered": f"{datetime.fromtimestamp(version['created'] / 1e6, UTC):%Y-%m-%d %H:%M:%S}",
        "metrics": ", ".join(f"{name}={value:g}" for name, value in version["metrics"].items()),
        "digest": version["digest"][:12],
    }


def _metrics(given: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise typer.BadParameter(f"--metric {text}: write NAME=NUMBER") from None
    return found


def _say(data: dict[str, Any], text: str, as_json: bool) -> None:
    from .show import lines

    if as_json:
        lines([data])
    else:
        print(text)
