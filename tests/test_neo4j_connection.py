"""The connection to Neo4j: what it refuses when it opens, what it carries out, what it never shows."""

from __future__ import annotations

import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from neo4j_server import free_port

from dallm.errors import StoreError
from dallm.knowledge.stores.neo4j.address import resolve_address
from dallm.knowledge.stores.neo4j.connection import Connection


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("URI", "USERNAME", "PASSWORD", "DATABASE"):
        monkeypatch.delenv(f"NEO4J_{name}", raising=False)


@pytest.fixture
def connection(neo4j_server) -> Iterator[Connection]:
    with Connection(neo4j_server.uri, **neo4j_server.options) as opened:
        yield opened


@contextmanager
def listening(answer) -> Iterator[int]:
    """A server on loopback that gives each connection's socket to `answer`; yields its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            answer(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def old_server(agent: str, bolt: tuple[int, int]):
    """Answer as a server of that name and version of Bolt: yes to every message."""

    def text(value: str) -> bytes:
        return bytes([0x80 + len(value)]) + value.encode()

    success = b"\xb1\x70\xa2" + text("server") + text(agent) + text("connection_id") + text("bolt-1")

    def answer(sock) -> None:
        stream = sock.makefile("rb")
        stream.read(20)  # the magic number and four ranges of versions
        sock.sendall(bytes([0, 0, bolt[1], bolt[0]]))
        while size := stream.read(2):
            if length := struct.unpack(">H", size)[0]:
                stream.read(length)
            else:  # the end of a message
                sock.sendall(struct.pack(">H", len(success)) + success + b"\0\0")

    return answer


def test__open__arguments__says_database_and_version(connection, neo4j_server):
    assert connection.server_version >= (5, 18)
    assert (connection.uri, connection.database) == (neo4j_server.uri, neo4j_server.database)


def test__open__usual_variables__are_used(neo4j_server, monkeypatch):
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_USERNAME", neo4j_server.user)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password)
    with Connection() as opened:
        assert opened.read("RETURN 1 AS one") == [{"one": 1}]
        assert opened.database == neo4j_server.database  # the user's home database


def test__password__wherever_it_could_be_shown__is_not(connection, neo4j_server):
    address = resolve_address(neo4j_server.uri, password="a secret word")
    assert "a secret word" not in f"{address!r} {address}"
    assert neo4j_server.password not in f"{connection!r} {connection.uri}"
    with pytest.raises(StoreError) as caught:
        Connection("neo4j://someone:hunter2@localhost:7687")
    assert "user= and password=" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://localhost:7474", r"its scheme is 'http', .*'neo4j://localhost:7687'"),
        ("https://db.example.org", r"its scheme is 'https', .*'neo4j\+s://db.example.org:7687'"),
        ("localhost:7687", r"it has no scheme, .*'neo4j://localhost:7687'"),
        ("neo4js://db", r"its scheme is 'neo4js'"),
        ("neo4j://", "names no host"),
        ("bolt://db?policy=eu", "leave them out"),
        ("neo4j://db:99999", "Port out of range"),
        ("bolt://[::1", "is no address"),
        ("neo4j://0a1b2c3d.databases.neo4j.io", r"write 'neo4j\+s://0a1b2c3d\.databases\.neo4j\.io'"),
        ("", "set NEO4J_URI"),
    ],
)
def test__open__no_address_of_neo4j__says_how_to_write_one(uri, said):
    with pytest.raises(StoreError, match=said):
        Connection(uri, password="x")


@pytest.mark.parametrize("scheme", ["neo4j", "bolt"])
def test__open__nothing_listens__names_the_address_and_how_to_start_one(scheme):
    uri = f"{scheme}://127.0.0.1:{free_port()}"
    with pytest.raises(StoreError, match=rf"Nothing listens at {uri}\. Start it \(docker compose up -d"):
        Connection(uri, password="x")


def test__open__name_that_nobody_has__is_told():
    with pytest.raises(StoreError, match=r"No machine has the name in neo4j://db\.invalid:7687"):
        Connection("neo4j://db.invalid:7687", password="x")


@pytest.mark.parametrize("scheme", ["neo4j", "bolt"])
def test__open__port_for_web_pages__is_told(scheme):
    def answer(sock) -> None:
        sock.recv(20)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with listening(answer) as port, pytest.raises(StoreError, match=r"a port for web pages .* usually 7687"):
        Connection(f"{scheme}://127.0.0.1:{port}", password="x")


@pytest.mark.parametrize("scheme", ["neo4j+s", "bolt+ssc"])
def test__open__tls_where_none_is_spoken__says_which_scheme_to_write(scheme):
    plain = scheme.partition("+")[0]
    with listening(lambda sock: sock.recv(20)) as port, pytest.raises(StoreError) as caught:
        Connection(f"{scheme}://127.0.0.1:{port}", password="x")
    assert "does not speak TLS" in str(caught.value)
    assert f"write {plain}://" in str(caught.value)


def test__open__certificate_signed_by_the_server__needs_the_scheme_that_takes_it(neo4j_server):
    if not neo4j_server.speaks_tls:
        pytest.skip("this server is not known to take TLS (a given one, or openssl is not installed)")
    rest = neo4j_server.uri.partition("://")[2]
    with pytest.raises(StoreError, match=r"certificate .* write neo4j\+ssc://"):
        Connection(f"neo4j+s://{rest}", **neo4j_server.options)
    with Connection(f"neo4j+ssc://{rest}", **neo4j_server.options) as opened:
        assert opened.read("RETURN 1 AS one") == [{"one": 1}]


@pytest.mark.parametrize(
    ("agent", "bolt", "found"),
    [("Neo4j/5.11.0", (5, 3), "is Neo4j/5.11.0"), ("Neo4j/4.4.30", (4, 4), "older than Neo4j 5.7")],
)
def test__open__server_too_old_for_vector_indexes__is_told_with_the_version_needed(agent, bolt, found):
    with (
        listening(old_server(agent, bolt)) as port,
        pytest.raises(StoreError, match=f"{found}.*5.18 or newer"),
    ):
        Connection(f"bolt://127.0.0.1:{port}", password="x")


@pytest.mark.parametrize("scheme", ["neo4j", "bolt"])
def test__open__wrong_password__says_where_it_is_looked_for(neo4j_server, scheme):
    uri = neo4j_server.uri.replace("neo4j://", f"{scheme}://")
    with pytest.raises(
        StoreError, match=r"refused the user .* or the password; check NEO4J_USERNAME"
    ) as caught:
        Connection(uri, user=neo4j_server.user, password="not the word")
    assert uri in str(caught.value)
    assert "not the word" not in str(caught.value)


def test__open__no_password__says_how_to_give_one(neo4j_server):
    with pytest.raises(StoreError, match=r"got none; set NEO4J_USERNAME and NEO4J_PASSWORD"):
        Connection(neo4j_server.uri)


@pytest.mark.parametrize("scheme", ["neo4j", "bolt"])
def test__open__database_that_does_not_exist__names_those_that_do(neo4j_server, scheme):
    uri = neo4j_server.uri.replace("neo4j://", f"{scheme}://")
    options = {**neo4j_server.options, "database": neo4j_server.database + "x"}
    with pytest.raises(StoreError, match=rf"has no database '\w+x'; it has .*'{neo4j_server.database}'"):
        Connection(uri, **options)


def test__write_and_read__arrays_texts_and_nothing__come_back(connection, neo4j_namespace):
    label = f"Dallm_{neo4j_namespace}"
    vector = np.array([0.25, -1.0], dtype=np.float32)
    connection.write(f"CREATE (:{label} {{v: $v, t: $t}})", v=vector, t="naïve ‘quote’ \\ `tick`")
    rows = connection.read(f"MATCH (n:{label}) RETURN n.v AS v, n.t AS t, n.no AS no")
    assert rows == [{"v": [0.25, -1.0], "t": "naïve ‘quote’ \\ `tick`", "no": None}]
    assert (connection.reads, connection.writes) == (1, 1)


def test__in_transaction__work_that_raises__leaves_nothing(connection, neo4j_namespace):
    label = f"Dallm_{neo4j_namespace}"

    def work(tx) -> None:
        tx.run(f"CREATE (:{label})").consume()
        raise ValueError("a fault of the caller's own")

    with pytest.raises(ValueError, match="of the caller's own"):
        connection.in_transaction(work)
    assert connection.read(f"MATCH (n:{label}) RETURN count(n) AS n") == [{"n": 0}]
    assert connection.writes == 0


def test__in_transaction__another_writer_was_faster__is_done_again(connection, neo4j_server, neo4j_namespace):
    label = f"Dallm_{neo4j_namespace}"
    connection.write(f"CREATE CONSTRAINT {label} FOR (n:{label}) REQUIRE n.key IS UNIQUE")
    tries = []

    def work(tx) -> int:
        tries.append(tx)
        held = tx.run(f"MATCH (n:{label}) RETURN count(n) AS n").single()["n"]
        if not held:
            neo4j_server.rows(f"CREATE (:{label} {{key: 1}})")  # the other writer
            tx.run(f"CREATE (:{label} {{key: 1}})").consume()
        return held

    assert connection.in_transaction(work) == 1
    assert len(tries) == 2


def test__race_that_is_always_lost__ends_with_the_reason(connection, neo4j_namespace):
    label = f"Dallm_{neo4j_namespace}"
    connection.write(f"CREATE CONSTRAINT {label} FOR (n:{label}) REQUIRE n.key IS UNIQUE")
    with pytest.raises(StoreError, match="ConstraintValidationFailed"):
        connection.write(f"CREATE (:{label} {{key: 1}}) CREATE (:{label} {{key: 1}})")


def test__read_only__writes__are_refused_here_and_by_the_server(neo4j_server, neo4j_namespace):
    label = f"Dallm_{neo4j_namespace}"
    with Connection(neo4j_server.uri, **neo4j_server.options, read_only=True) as opened:
        with pytest.raises(StoreError, match="read_only=False"):
            opened.write(f"CREATE (:{label})")
        with pytest.raises(StoreError, match="read access mode"):
            opened.read(f"CREATE (:{label})")
    assert neo4j_server.rows(f"MATCH (n:{label}) RETURN count(n) AS n") == [{"n": 0}]


def test__faulty_statement__fails_at_once_with_the_servers_words(connection):
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"Invalid input .*SyntaxError"):
        connection.read("MATCH (n RETURN n")
    assert time.monotonic() - began < 10


def test__closed__is_told(neo4j_server):
    opened = Connection(neo4j_server.uri, **neo4j_server.options)
    opened.close()
    opened.close()
    with pytest.raises(StoreError, match="is closed"):
        opened.read("RETURN 1")
