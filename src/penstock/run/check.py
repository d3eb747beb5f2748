"""Import the user's file and see whether it could run.

As a program, ``python -m penstock.run.check TARGET DATA PLAN LOG ARTIFACTS ONLY``, this is the supervisor's child that
does so: it also makes topics and seeds models, and writes the plan. Where there are no workers no model is seeded: the
file, and the secret that it may need, are theirs. What is wrong goes to stderr, with exit code 2. But
for the runners no other process executes the user's code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from ..clock import SystemClock
from ..declare.app import App
from ..declare.checking.trial import try_functions
from ..declare.load import load, own_files
from ..declare.parts import Model
from ..declare.planning.build import ResolvedApp, artifact_path, folder_of, resolve
from ..declare.planning.findings import Finding, FindingCollector
from ..errors import PenstockError, StoreUnreachable
from ..models.artifacts import Artifacts
from ..models.interface import Signature
from ..models.runtimes.choose import inspect
from ..models.shared import SharedArtifacts
from ..models.signature import offer
from ..notices import notices
from ..plan.codec import plan_to_bytes
from ..plan.places import Site, located
from ..plan.plan import Plan
from ..settings import Settings, in_dev
from ..telemetry import log_to_stderr, logger
from .compose.backends import open_artifacts, open_log
from .compose.bootstrap import make_topics, seed
from .compose.bundled import is_own_code
from .compose.remarks import remarks_on
from .directory import DataDirectory
from .process import die_with_parent, do_without_pandas, explained, write_folder, write_notices

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class CheckedApp:
    resolved: ResolvedApp
    folder: Path  # of the app's file: its plan knows places and files from there
    files: list[Path]  # the app's own first, then the modules beside it that it imported
    tried: tuple[Finding, ...] = ()  # of its functions, once they were tried; they are among the findings too

    @property
    def here(self) -> Plan:
        """The plan with its files' places on this machine."""
        return located(self.resolved.plan, self.folder)


def check(target: str, environ: Mapping[str, str] | None, *, try_out: bool = False) -> CheckedApp:
    """Executes the user's file. Without ``environ`` what the app asks of the environment is not looked up.

    ``try_out``: its batch functions are called with made-up events, and what depends on the batch is a finding.

    Raises ``DeclarationError`` for a file that cannot be imported; all else that is wrong is in the findings.
    """
    found = load(target)
    signatures = partial(signature_of, found.app)
    resolved = resolve(found.app, target=found.target, code=found.code, signatures=signatures, environ=environ)
    tried: tuple[Finding, ...] = ()
    if try_out and not FindingCollector(list(resolved.findings)).errors:
        tried = tuple(try_functions(found.app, resolved.plan))
        resolved = replace(resolved, findings=(*resolved.findings, *tried))
    return CheckedApp(resolved, folder_of(found.app), _files(found.target), tried)


def signature_of(app: App, model: Model, offered: pa.Schema) -> Signature | None:
    """What the artifact that the file brings along reads and answers; None without one. Raises ``ModelRefused``."""
    if model.artifact is None or not (path := artifact_path(app, model.artifact)).is_file():
        return None
    if model.trust is not None or is_own_code(path):
        return None  # its code is executed in a runner, and nowhere else
    columns = offer(offered, model.inputs)
    return inspect(path, name=path.name, inputs=columns, outputs=list(model.outputs), trusted=False)[1]


def _files(target: str) -> list[Path]:
    source = target.rpartition(":")[0]
    file = Path(source) if source.endswith(".py") else Path(sys.modules[source].__file__ or "")
    return [file, *(path for path in own_files(file) if path != file)]


def _artifacts(directory: DataDirectory, url: str, limit: int) -> Artifacts:
    """What this host has registered without the storage is put there. Raises ``StoreUnusable``, ``CannotStart``."""
    artifacts = open_artifacts(directory, url, limit=limit)
    if isinstance(artifacts, SharedArtifacts):
        try:
            artifacts.take_in(open_artifacts(directory))
        except StoreUnreachable as error:
            log.warning("models that are not on this host yet wait", reason=str(error))
    return artifacts


def main(target: str, data: Path, plan: Path, url: str = "", artifacts: str = "", only: str = "") -> None:
    with explained(PenstockError):
        checked = check(target, os.environ, try_out=in_dev())
        FindingCollector(list(checked.resolved.findings)).raise_errors()
        do_without_pandas()  # from here on no code but ours runs
        directory, clock, settings = DataDirectory(data), SystemClock(), Settings.from_env()
        with closing(open_log(directory, clock, settings, url)) as events:
            # Before its topics are as this version declares them.
            for found in (*checked.tried, *remarks_on(checked.here, events)):
                notices().tell(
                    f"start/{found.place}/{found.message}", found.message, place=found.place, mend=found.mend
                )
            make_topics(checked.here, events, remake=events if in_dev() else None)
            if only not in ("gateway", "courier"):
                seed(
                    checked.here,
                    events,
                    _artifacts(directory, artifacts, settings.artifact_limit),
                    clock,
                    on_change="promote" if in_dev() else "keep",
                    site=Site(checked.folder, os.environ),
                )
    write_notices(plan, notices().by_key())
    write_folder(plan, checked.folder)
    made = checked.resolved.plan
    if made.delivers:
        plan.with_suffix(".subscriptions").touch()
    if any(spec.is_delivered for spec in made.subscriptions) or (made.delivers and not made.subscriptions):
        plan.with_suffix(".webhooks").touch()
    plan.with_suffix(".files").write_text("\n".join(map(str, checked.files)))
    plan.write_bytes(plan_to_bytes(made))


if __name__ == "__main__":
    die_with_parent()  # whoever starts again after a killed supervisor checks for itself
    log_to_stderr("check")
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
