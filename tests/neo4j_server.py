"""A real Neo4j for the tests: one that is given, else the server's own jars, else a container.

``python tests/neo4j_server.py`` starts one by hand and says how to reach it, until Ctrl-C.

Environment
-----------
DALLM_TEST_NEO4J_URI, DALLM_TEST_NEO4J_USERNAME, DALLM_TEST_NEO4J_PASSWORD, DALLM_TEST_NEO4J_DATABASE
    A server to use instead of one of our own. NEO4J_URI is not looked at: it names a database that somebody
    works with, and tests write.
DALLM_REQUIRE_NEO4J, CI
    Where either is set (to anything but 0 or false), a server that cannot be had fails the tests; elsewhere
    they skip.
DALLM_TEST_CACHE
    Where the jars are kept; the user's cache folder where unset.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

POM = Path(__file__).parent / "neo4j" / "pom.xml"
IMAGE = "neo4j:5.26-community"
FIRST_PASSWORD = "neo4j"
START_S = 120.0
"""Longest wait for a server to answer, in seconds; a loaded machine with two cores needs about 20."""
JAVA_FLAGS = (
    "-Xms128m",
    "-Xmx512m",
    "-Xmn128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # starts in two thirds of the time; nothing is measured on these servers
    "-Dfile.encoding=UTF-8",
    *(
        f"--add-opens=java.base/{package}=ALL-UNNAMED"
        for package in ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")
    ),
)
CONF = """\
server.default_listen_address=127.0.0.1
server.bolt.listen_address=127.0.0.1:{port}
server.bolt.advertised_address=127.0.0.1:{port}
server.http.enabled=false
server.https.enabled=false
server.memory.pagecache.size=64m
server.bolt.thread_pool_max_size=50
server.logs.debug.enabled=false
dbms.usage_report.enabled=false
dbms.security.auth_enabled=true
db.logs.query.enabled=OFF
db.tx_log.preallocate=false
internal.server.bolt.thread_pool_shutdown_wait_time=100ms
internal.server.bolt.connection_shutdown_wait_time=100ms
db.tx_log.rotation.retention_policy=keep_none
"""
# Both are taken: with TLS, and without.
TLS_CONF = """\
server.bolt.tls_level=OPTIONAL
dbms.ssl.policy.bolt.enabled=true
dbms.ssl.policy.bolt.base_directory={folder}
dbms.ssl.policy.bolt.private_key=private.key
dbms.ssl.policy.bolt.public_certificate=public.crt
dbms.ssl.policy.bolt.client_auth=NONE
"""
# Waits for the end of the tests' process, however it comes, then ends the server and removes its folder: its
# input is a pipe that closes with that process.
WATCH = 'cat >/dev/null; kill -9 "$1" 2>/dev/null; rm -rf "$2"'


class NoServerError(Exception):
    """No Neo4j can be had this way; the message says why."""


def server_required() -> bool:
    """Whether tests that need a server must run here rather than skip."""
    return any(
        os.environ.get(name, "").lower() not in ("", "0", "false") for name in ("CI", "DALLM_REQUIRE_NEO4J")
    )


class Neo4jServer:
    """A server that somebody else runs: where it is, and how to look into it without the library."""

    speaks_tls = False
    """Whether it takes connections with TLS too, under a certificate that it signed itself."""

    def __init__(self, uri: str, user: str, password: str, database: str) -> None:
        self.uri = uri
        self.user = user
        self.password = password
        self.database = database

    @property
    def options(self) -> dict[str, str]:
        """The keywords `user`, `password` and `database` that a store takes."""
        return {"user": self.user, "password": self.password, "database": self.database}

    @contextlib.contextmanager
    def session(self) -> Iterator[Any]:
        """A session of the raw driver."""
        from neo4j import GraphDatabase

        with (
            GraphDatabase.driver(
                self.uri, auth=(self.user, self.password), notifications_min_severity="OFF"
            ) as driver,
            driver.session(database=self.database) as session,
        ):
            yield session

    def rows(self, cypher: str, **parameters: Any) -> list[dict[str, Any]]:
        """Run one statement and return its rows."""
        with self.session() as session:
            return [dict(record) for record in session.run(cypher, parameters)]

    def clear_namespace(self, namespace: str) -> None:
        """Remove every node, index and constraint whose label or name holds the namespace's name."""
        self.delete_nodes(namespace)
        with self.session() as session:
            dropped = session.run(
                "SHOW INDEXES YIELD name, owningConstraint WHERE toLower(name) CONTAINS toLower($namespace) "
                "RETURN CASE WHEN owningConstraint IS NULL THEN 'INDEX' ELSE 'CONSTRAINT' END AS kind, name",
                namespace=namespace,
            ).data()
            with session.begin_transaction() as together:  # each costs a write to the disk alone
                for row in dropped:
                    together.run(f"DROP {row['kind']} `{row['name']}` IF EXISTS").consume()

    def delete_nodes(self, namespace: str) -> None:
        """Remove every node whose label holds the namespace's name, and leave indexes as they are."""
        self.rows(
            "MATCH (n) WHERE any(l IN labels(n) WHERE toLower(l) CONTAINS toLower($namespace)) "
            "DETACH DELETE n",
            namespace=namespace,
        )

    def close(self) -> None:
        """Release what the tests made; a given server stays as it is."""


class OwnServer(Neo4jServer):
    """A server of the tests' own that can be stopped, killed and started again with its data and its port."""

    def start(self) -> None:
        """Start it and wait until the database answers."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop it in good order."""
        raise NotImplementedError

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        raise NotImplementedError

    def _wait(self, running: Any) -> None:
        """Wait until the database answers, giving the first password where the server is new."""
        from neo4j import GraphDatabase
        from neo4j.exceptions import AuthError, DriverError, Neo4jError

        password, until = self.password, time.monotonic() + START_S
        while True:
            try:
                # no routing and no retrying of the driver's own, whose pauses grow to many seconds
                with GraphDatabase.driver(
                    self.uri.replace("neo4j:", "bolt:"),
                    auth=(self.user, password),
                    max_transaction_retry_time=0,
                ) as driver:
                    if password != self.password:
                        driver.execute_query(
                            "ALTER CURRENT USER SET PASSWORD FROM $old TO $new",
                            old=password,
                            new=self.password,
                            database_="system",
                        )
                        password = self.password
                        continue
                    driver.execute_query("RETURN 1", database_=self.database)
                    return
            except AuthError:
                password = FIRST_PASSWORD if password == self.password else self.password
                failed = "the password was refused"
            except (DriverError, Neo4jError) as error:
                failed = str(error)
            if not running() or time.monotonic() > until:
                raise NoServerError(f"the server did not answer at {self.uri}: {failed}; {self._said()}")
            time.sleep(0.2)

    def _said(self) -> str:
        """The last lines of what the server printed."""
        raise NotImplementedError


class JarServer(OwnServer):
    """Neo4j's community server from its jars, listening on loopback, in a folder of its own."""

    def __init__(self) -> None:
        self._java = find_java()
        self._jars = find_jars()
        self._home = Path(tempfile.mkdtemp(prefix="dallm-neo4j-"))
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        super().__init__(f"neo4j://127.0.0.1:{self._port}", "neo4j", secrets.token_urlsafe(12), "neo4j")
        conf = CONF.format(port=self._port)
        if make_certificate(self._home / "tls"):
            self.speaks_tls = True
            conf += TLS_CONF.format(folder=self._home / "tls")
        (self._home / "conf").mkdir()
        (self._home / "conf" / "neo4j.conf").write_text(conf, encoding="utf-8")

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        if self._process is not None:
            return
        command = [self._java, *JAVA_FLAGS, "-cp", f"{self._jars}/*", "org.neo4j.server.CommunityEntryPoint"]
        command += [f"--home-dir={self._home}", f"--config-dir={self._home / 'conf'}"]
        with (self._home / "out.log").open("ab") as out:
            # A session of its own: Ctrl-C reaches the tests first, and they end the server.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        self._watch = subprocess.Popen(
            ["sh", "-c", WATCH, "watch", str(self._process.pid), str(self._home)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._wait(lambda: self._process is not None and self._process.poll() is None)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        process, watch, self._process, self._watch = self._process, self._watch, None, None
        if process is None or watch is None:
            return
        process.send_signal(how)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        watch.kill()  # before the number of the process can be another's
        watch.wait()
        if watch.stdin:
            watch.stdin.close()

    def _said(self) -> str:
        log = self._home / "out.log"
        return log.read_text(encoding="utf-8", errors="replace")[-1500:] if log.exists() else ""


class ContainerServer(OwnServer):
    """The official image in a container, its port on loopback."""

    def __init__(self) -> None:
        self._engine = find_engine()
        self._port = free_port()
        self._name = f"dallm-test-{secrets.token_hex(4)}"
        super().__init__(f"neo4j://127.0.0.1:{self._port}", "neo4j", secrets.token_urlsafe(12), "neo4j")
        settings = {
            "NEO4J_AUTH": f"{self.user}/{self.password}",
            "NEO4J_server_bolt_advertised__address": f"127.0.0.1:{self._port}",
            "NEO4J_server_memory_heap_max__size": "512m",
            "NEO4J_server_memory_pagecache_size": "64m",
            "NEO4J_dbms_usage__report_enabled": "false",
        }
        self._run(
            *("create", "--name", self._name, "--publish", f"127.0.0.1:{self._port}:7687"),
            *(word for name in settings for word in ("--env", name)),
            IMAGE,
            **settings,
        )

    def start(self) -> None:
        self._run("start", self._name)
        try:
            self._wait(lambda: self._run("inspect", "--format", "{{.State.Running}}", self._name) == "true")
        except NoServerError:
            self.kill()
            raise

    def stop(self) -> None:
        self._run("stop", self._name)

    def kill(self) -> None:
        with contextlib.suppress(NoServerError):  # it may have ended already
            self._run("kill", self._name)

    def close(self) -> None:
        self._run("rm", "--force", "--volumes", self._name)

    def _run(self, *words: str, **environment: str) -> str:
        done = subprocess.run(
            [self._engine, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            env={**os.environ, **environment},
        )
        if done.returncode:
            raise NoServerError(f"{self._engine} {words[0]}: {done.stderr.strip()[-500:]}")
        return done.stdout.strip()

    def _said(self) -> str:
        return self._run("logs", "--tail", "20", self._name)


def find_java() -> str:
    """Return the path of a Java 17 or newer."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if found is None:
        raise NoServerError("no Java is installed")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version.group(1)) < 17:
        raise NoServerError(
            f"Neo4j needs Java 17, and {found} is {said.splitlines()[0] if said else 'broken'}"
        )
    return found


def make_certificate(folder: Path) -> bool:
    """Make a key and a certificate signed with it, and return whether that could be done."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return False
    folder.mkdir()
    made = subprocess.run(
        [
            *(
                openssl,
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ),
            *("-keyout", str(folder / "private.key"), "-out", str(folder / "public.crt")),
        ],
        capture_output=True,
        check=False,
    )
    return made.returncode == 0


def find_engine() -> str:
    """Return the name of a container engine that works."""
    for engine in ("docker", "podman"):
        if (
            shutil.which(engine)
            and not subprocess.run([engine, "info"], capture_output=True, check=False).returncode
        ):
            return engine
    raise NoServerError("no container engine runs (docker, podman)")


def find_jars() -> Path:
    """Return the folder of the server's jars, fetching them by Maven where they are not kept yet."""
    base = os.environ.get("DALLM_TEST_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    cache = Path(base) / "dallm-tests"
    kept = cache / f"neo4j-{digest}"
    if kept.is_dir():
        return kept
    maven = shutil.which("mvn")
    if maven is None:
        raise NoServerError("the jars of the server are not kept here, and no Maven (mvn) is installed")
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock"):
        if kept.is_dir():  # another run was faster
            return kept
        with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as fetching:
            done = subprocess.run(
                [
                    *(maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"),
                    *("-DincludeScope=runtime", f"-DoutputDirectory={fetching}/jars"),
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise NoServerError(f"Maven could not fetch the server's jars: {done.stdout.strip()[-600:]}")
            (Path(fetching) / "jars").rename(kept)
    return kept


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process that holds it."""
    try:
        import fcntl
    except ImportError as error:
        raise NoServerError("the server's jars are used on Linux and macOS only") from error
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def free_port() -> int:
    """Return a port of loopback that nobody listens on.

    It lies below the ports that systems give to outgoing connections, so that it is still free when a server
    that was stopped starts again.
    """
    for port in random.SystemRandom().sample(range(12_000, 32_000), 200):
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port
    raise NoServerError("no port of loopback is free")


def own_server() -> OwnServer:
    """Start a server of our own: from its jars, else in a container.

    Raises
    ------
    NoServerError
        If neither can be had; the message says why for both.
    """
    reasons = []
    for kind in (JarServer, ContainerServer):
        try:
            server: OwnServer = kind()
        except NoServerError as error:
            reasons.append(str(error))
            continue
        try:
            server.start()
        except NoServerError as error:
            server.close()
            reasons.append(str(error))
            continue
        return server
    raise NoServerError("no Neo4j for the tests: " + "; ".join(reasons))


def given_server() -> Neo4jServer | None:
    """Return the server that the environment names, or None."""
    uri = os.environ.get("DALLM_TEST_NEO4J_URI")
    if not uri:
        return None
    user, password, database = (
        os.environ.get(f"DALLM_TEST_NEO4J_{name}", default)
        for name, default in (("USERNAME", "neo4j"), ("PASSWORD", ""), ("DATABASE", "neo4j"))
    )
    return Neo4jServer(uri, user, password, database)


def main() -> None:
    """Run a server until Ctrl-C."""
    server = own_server()
    print(
        f"export NEO4J_URI={server.uri} NEO4J_USERNAME={server.user} NEO4J_PASSWORD={server.password}",
        flush=True,
    )
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print("stopping", file=sys.stderr)
    finally:
        server.stop()
        server.close()


if __name__ == "__main__":
    main()
