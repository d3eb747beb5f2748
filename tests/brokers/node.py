"""One Kafka process: a broker that is also a controller."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.brokers import jars

CLUSTER_ID = "cGVuc3RvY2stdGVzdHMtMQ"
USER, PASSWORD = "penstock", "pump-house"
# Event Hubs takes a connection string as the password of this user.
HUB_USER = "$ConnectionString"
CONNECTION_STRING = "Endpoint=sb://localhost/;SharedAccessKeyName=tests;SharedAccessKey=c2VjcmV0"
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")

# The first compiler alone and the serial collector start sooner and smaller; a benchmark takes the JVM's own choice.
QUICK = ("-Xmx256m", "-Xss512k", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")

# The pipe of standard input breaks when the test process ends, however it ends; then so does the broker.
ENDS_WITH_ITS_PARENT = 'exec 3<&0; (read -r _ <&3; kill -9 -$$) & exec "$@" </dev/null 3<&-'


class Node:
    """A broker on fixed ports, with its own folder; it may be killed, hung and started again."""

    def __init__(self, number: int, directory: Path, properties: Mapping[str, str], jvm: tuple[str, ...]) -> None:
        self.number = number
        self._directory = directory
        self._jvm = [*jvm, f"-Dlog4j2.configurationFile={jars.LOGGING}"]
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)
        lines = {"node.id": str(number), "log.dirs": str(directory / "data"), **properties}
        self._properties = directory / "server.properties"
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        self._log = directory / "broker.log"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"broker {self.number} was never started"
        return self._process.pid

    def format(self) -> subprocess.Popen[bytes]:
        """Make the folder a part of the cluster, with the users of SCRAM; the caller waits for it."""
        users = [f"--add-scram={mechanism}=[name={USER},password={PASSWORD}]" for mechanism in SCRAM]
        task = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._properties), *users]
        with self._log.open("ab") as log:
            return subprocess.Popen(self._java(task), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def start(self) -> None:
        assert not self.alive, f"broker {self.number} is running"
        guarded = ["sh", "-c", ENDS_WITH_ITS_PARENT, "sh", *self._java(["kafka.Kafka", str(self._properties)])]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                guarded, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone: its ports are free afterwards."""
        if self._process is None or self._process.stdin is None:
            return
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(60)
        self._process.stdin.close()

    def stop(self, within: float) -> None:
        """Ask it to end, and kill it when it does not in time."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(within)
            except subprocess.TimeoutExpired:
                pass
        self.kill()

    def administer(self, *task: str) -> None:
        """Run one of Kafka's own tools."""
        done = subprocess.run(self._java(list(task)), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def tail(self, lines: int = 30) -> str:
        """The last of what it logged."""
        if not self._log.exists():
            return f"broker {self.number} logged nothing"
        said = self._log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"broker {self.number}, the end of {self._log}:", *said])

    def _java(self, task: list[str]) -> list[str]:
        return ["java", *self._jvm, "-cp", jars.classpath(), *task]
