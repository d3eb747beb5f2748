"""The broker's jars, fetched from Maven Central once and kept in a cache that all test processes share.

``PENSTOCK_CACHE`` names the folder of the cache; its default is ``~/.cache/penstock``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

POM = Path(__file__).with_name("pom.xml")
LOGGING = Path(__file__).with_name("log4j2.properties")
OLDEST_JAVA = 17
FETCH_WITHIN = 600.0  # seconds


class Missing(Exception):
    """This machine lacks what the broker needs; the message says what."""


def version() -> str:
    """The pinned version of Kafka."""
    found = ElementTree.parse(POM).getroot().findtext("{http://maven.apache.org/POM/4.0.0}version")
    assert found is not None, f"{POM} names no version"
    return found


@cache
def classpath() -> str:
    """The class path of the broker, after fetching what is not in the cache yet."""
    look_at_java()
    root = Path(os.environ.get("PENSTOCK_CACHE") or Path.home() / ".cache" / "penstock")
    # The digest makes a changed list of jars another folder, so a complete folder never changes.
    home = root / f"kafka-{version()}-{hashlib.sha256(POM.read_bytes()).hexdigest()[:8]}"
    if not home.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        with (root / "fetching.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not home.is_dir():
                _fetch(home)
    return os.pathsep.join(map(str, sorted(home.glob("*.jar"))))


def look_at_java() -> None:
    """Raise ``Missing`` unless there is a Java that Kafka runs on."""
    if shutil.which("java") is None:
        raise Missing(f"there is no java on the path; Kafka {version()} needs Java {OLDEST_JAVA} or newer")
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    found = re.search(r'version "(\d+)', told)
    if found is None or int(found[1]) < OLDEST_JAVA:
        raise Missing(f"Kafka {version()} needs Java {OLDEST_JAVA} or newer, and `java -version` says: {told.strip()}")


def _fetch(home: Path) -> None:
    if shutil.which("mvn") is None:
        raise Missing(f"there is no mvn on the path, and Kafka {version()} is not in {home.parent} yet")
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        jars = Path(scratch) / "jars"
        command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
        done = subprocess.run(
            [*command, f"-DoutputDirectory={jars}"], capture_output=True, text=True, timeout=FETCH_WITHIN, check=False
        )
        if done.returncode != 0:
            raise Missing(f"Maven could not fetch Kafka {version()}:\n{(done.stdout + done.stderr)[-2000:]}")
        jars.rename(home)
