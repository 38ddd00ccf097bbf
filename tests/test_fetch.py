"""Fetching, against a real server on loopback that fails as servers do."""

from __future__ import annotations

import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from http_server import CutOff, FastClock, HangUp, Reply, as_html, as_json, serve
from processes import at_once

import dallm
from dallm.errors import KnowledgeWarning, SourceError, UserError
from dallm.knowledge.fetch import FetchError, HttpClient, TryAgain, default_folder

PAGE = b"A page of some words. " * 60


@pytest.fixture
def server():
    with serve(lambda request: Reply(body=PAGE, headers={"content-type": "text/plain"})) as running:
        yield running


@pytest.fixture
def clock():
    return FastClock()


@pytest.fixture
def client(tmp_path, clock):
    with HttpClient(cache=tmp_path / "http", min_interval_s=0, timeout_s=5, clock=clock) as made:
        yield made


def files(client):
    return sorted(client.cache.folder.rglob("*.http"))


def test__get__plain_page__body_headers_and_user_agent(server, tmp_path):
    with HttpClient(cache=None, min_interval_s=0, contact="lab@example.org") as client:
        answer = client.get(f"{server.url}/a b", {"q": "lung & heart"})
    assert (answer.body, answer.status, answer.from_cache) == (PAGE, 200, False)
    assert answer.url == f"{server.url}/a%20b?q=lung+%26+heart"
    assert answer.headers["content-encoding"] == "gzip"
    assert datetime.fromisoformat(answer.retrieved_at).tzinfo
    told = server.requests[0].headers["user-agent"]
    assert told.startswith(f"dallm/{dallm.__version__} (")
    assert "lab@example.org" in told


def test__contact__with_line_break__is_refused():
    with pytest.raises(UserError, match="contact"):
        HttpClient(contact="me@example.org\r\nX-Other: 1")


@pytest.mark.parametrize("wrong", [{"tries": 0}, {"min_interval_s": -1}, {"timeout_s": 0}, {"max_bytes": 0}])
def test__settings__out_of_range__are_named(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        HttpClient(**wrong)


@pytest.mark.parametrize(
    "fault",
    [
        Reply(500),
        Reply(503, b"busy"),
        Reply(429),
        HangUp(),
        CutOff(PAGE),
        CutOff(PAGE, "chunked"),
        CutOff(PAGE, "gzip"),
        Reply(200, b"not gzip at all", {"content-encoding": "gzip"}),
    ],
    ids=["500", "503", "429", "hang-up", "cut-length", "cut-chunked", "cut-gzip", "broken-gzip"],
)
def test__get__passing_fault__is_tried_again_after_a_pause(server, client, clock, fault):
    server.fail(fault, fault)
    assert client.get(f"{server.url}/p").body == PAGE
    assert len(server.requests) == 3
    assert len(clock.slept) == 2
    assert 0.5 <= clock.slept[0] <= 1 <= clock.slept[1] <= 2


def test__get__lasting_fault__error_names_address_cause_and_tries_and_nothing_is_cached(server, client):
    server.fail(*[Reply(502, b"oops", {"etag": '"x"'})] * 9)
    with pytest.raises(FetchError, match=r"/p could not be fetched: it answered 502 .*5 tries") as told:
        client.get(f"{server.url}/p")
    assert isinstance(told.value, SourceError)
    assert (told.value.status, told.value.url) == (502, f"{server.url}/p")
    assert len(server.requests) == 5
    assert files(client) == []


def test__get__server_down__error_names_it_and_what_the_cache_has(client, server):
    client.get(f"{server.url}/p")
    gone = f"http://127.0.0.1:{server.port}/p"
    with serve(lambda r: Reply()) as other:
        closed = other.url
    with pytest.raises(FetchError, match="connection failed"):
        client.get(f"{closed}/p")
    server.fail(*[HangUp()] * 9)
    with pytest.raises(FetchError, match="offline=True uses"):
        client.get(gone)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 202])
def test__get__refusal__is_not_tried_again_nor_cached(server, client, status):
    server.fail(Reply(status, b"no"))
    with pytest.raises(FetchError, match=f"answered {status}") as told:
        client.get(f"{server.url}/p")
    assert told.value.status == status
    assert told.value.is_gone == (status in (404, 410))
    assert len(server.requests) == 1
    assert files(client) == []


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test__retry_after__is_obeyed(server, client, clock, form, status):
    when = format_datetime(clock.now() + timedelta(seconds=41), usegmt=True)
    server.fail(Reply(status, b"", {"retry-after": "40" if form == "seconds" else when}))
    assert client.get(f"{server.url}/p").body == PAGE
    assert 38 <= clock.slept[0] <= 42


def test__retry_after__longer_than_the_bound__stops_and_says_when(server, client, clock):
    server.fail(Reply(429, b"", {"retry-after": "7200"}))
    with pytest.raises(FetchError, match=r"left alone until .* UTC \(7,200 s\)") as told:
        client.get(f"{server.url}/p")
    assert (told.value.retry_at - clock.now()).total_seconds() == pytest.approx(7200, abs=20)
    assert clock.slept == []
    assert len(server.requests) == 1


def test__slow_answer__read_timeout_then_tried_again(server, tmp_path, clock):
    server.fail(Reply(body=PAGE, after_s=1.0))
    with HttpClient(cache=tmp_path, min_interval_s=0, timeout_s=0.2, clock=clock) as client:
        assert client.get(f"{server.url}/p").body == PAGE
    assert len(server.requests) == 2


def test__trickling_answer__is_not_waited_for_without_end(server, tmp_path, clock):
    server.fail(*[Reply(body=b"x" * 60, trickle_s=0.05)] * 2)
    with (
        HttpClient(cache=tmp_path, min_interval_s=0, timeout_s=0.15, tries=2, clock=clock) as client,
        pytest.raises(FetchError, match="too slowly"),
    ):
        client.get(f"{server.url}/p")


def test__large_answer__5_mb_pass_and_what_is_larger_than_the_bound_does_not(server, client):
    server.fail(Reply(body=b"<p>lung</p>" * 500_000))
    assert len(client.get(f"{server.url}/big").body) == 5_500_000
    client.max_bytes = 10_000
    # compressed it is small: the bound is on what it becomes
    server.fail(Reply(body=b"0" * 100_000), Reply(body=b"x" * 11_000, headers={"content-length": "11000"}))
    for _ in range(2):
        with pytest.raises(FetchError, match="larger than") as told:
            client.get(f"{server.url}/bomb")
        assert told.value.is_too_large
    assert len(server.requests) == 3


def test__moved__redirects_are_followed_to_the_final_address(client):
    def answer(request):
        if request.path == "/old":
            return Reply(301, b"", {"location": "/new?x=1"})
        return Reply(302, b"", {"location": "/newest"}) if request.path == "/new" else Reply(body=PAGE)

    with serve(answer) as server:
        found = client.get(f"{server.url}/old")
        assert (found.url, found.body) == (f"{server.url}/newest", PAGE)
        client.offline = True
        assert client.get(f"{server.url}/old").url == f"{server.url}/newest"


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "javascript:1", "//[::1"])
def test__redirect__out_of_http__is_refused(server, client, target):
    server.fail(Reply(302, b"", {"location": target}))
    with pytest.raises(FetchError, match="not followed"):
        client.get(f"{server.url}/p")


def test__redirect__in_a_circle__ends(client):
    with (
        serve(lambda request: Reply(301, b"", {"location": request.path + "x"})) as server,
        pytest.raises(FetchError, match="more than 5 times"),
    ):
        client.get(f"{server.url}/p")
    assert len(server.requests) == 6


@pytest.mark.parametrize("wrong", ["file:///etc/hostname", "en.wikipedia.org", "http://", "http://[x", ""])
def test__address__not_of_the_web__is_refused(client, wrong):
    with pytest.raises(FetchError, match=r"no (http|web)"):
        client.get(wrong)


def test__password_and_key__are_sent_but_shown_and_kept_nowhere(server, client):
    address = f"http://me:hunter2@127.0.0.1:{server.port}/p"
    server.fail(Reply(302, b"", {"location": "/q?api_key=s%2Fecret"}), Reply(body=PAGE))
    answer = client.get(address, {"q": "a"}, secret={"api_key": "s/ecret"})
    assert server.requests[0].params == {"q": "a", "api_key": "s/ecret"}
    assert server.requests[0].headers["authorization"].startswith("Basic ")
    kept = files(client)[0].read_bytes()
    server.fail(Reply(400))
    with pytest.raises(FetchError) as told:
        client.get(address, {"q": "b"}, secret={"api_key": "s/ecret"})
    for text in (answer.url, repr(answer), str(told.value), kept.decode("latin-1")):
        assert "hunter2" not in text
        assert "ecret" not in text
    # the key is no part of what was asked for
    client.offline = True
    assert client.get(address, {"q": "a"}).body == PAGE


@pytest.mark.parametrize(
    "validator",
    [
        ("etag", '"v1"', "if-none-match"),
        ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT", "if-modified-since"),
    ],
)
def test__second_get__is_revalidated(client, clock, validator):
    name, value, conditional = validator
    content = [PAGE]

    def answer(request):
        if request.headers.get(conditional) == value and content[0] == PAGE:
            return Reply(304, b"", {name: value, "x-new": "1"})
        kept = {name: value} if content[0] == PAGE else {}
        return Reply(body=content[0], headers={**kept, "content-type": "text/plain"})

    with serve(answer) as server:
        first = client.get(f"{server.url}/p")
        clock.sleep(3600)
        second = client.get(f"{server.url}/p")
        content[0] = b"new"
        third = client.get(f"{server.url}/p")
    assert (second.body, second.from_cache, second.revalidated) == (PAGE, True, True)
    assert second.retrieved_at == first.retrieved_at
    assert (second.headers["x-new"], second.headers["content-type"]) == ("1", "text/plain")
    assert (third.body, third.from_cache) == (b"new", False)


def test__redirected_page__is_asked_conditionally_only_where_its_etag_is_from(client):
    def answer(request):
        if request.path == "/old":
            assert "if-none-match" not in request.headers
            return Reply(301, b"", {"location": "/new"})
        return Reply(body=PAGE, headers={"etag": '"n"'})

    with serve(answer) as server:
        client.get(f"{server.url}/old")
        assert client.get(f"{server.url}/old").revalidated
        assert server.requests[-1].headers["if-none-match"] == '"n"'


def test__max_age__no_request_within_it(server, client, clock):
    client.get(f"{server.url}/p")
    assert client.get(f"{server.url}/p", max_age_s=60).from_cache
    clock.sleep(61)
    assert not client.get(f"{server.url}/p", max_age_s=60).from_cache
    assert len(server.requests) == 2


def test__offline__serves_what_is_cached_and_names_what_is_not(server, tmp_path):
    with HttpClient(cache=tmp_path, min_interval_s=0) as online:
        online.get(f"{server.url}/p", {"a": 1})
    with HttpClient(cache=tmp_path, offline=True) as client:
        assert client.get(f"{server.url}/p", {"a": 1}).from_cache
        with pytest.raises(FetchError, match=rf"/p\?a=2 is not in the cache \({tmp_path}\).*offline=True"):
            client.get(f"{server.url}/p", {"a": 2})
    assert len(server.requests) == 1


def test__cache__entry_damaged_at_any_place__is_fetched_again(server, client):
    client.get(f"{server.url}/p")
    (path,) = files(client)
    whole = path.read_bytes()
    for at in (0, 70, 90, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert client.get(f"{server.url}/p", max_age_s=1e9).from_cache is False
    path.write_bytes(b"")
    assert client.get(f"{server.url}/p", max_age_s=1e9).body == PAGE
    assert len(server.requests) == 6
    assert client.get(f"{server.url}/p", max_age_s=1e9).from_cache


def test__cache__folder_that_cannot_be_written__warns_once_and_goes_on(server, tmp_path):
    place = tmp_path / "file"
    place.write_text("no folder")
    with HttpClient(cache=place, min_interval_s=0) as client:
        with pytest.warns(KnowledgeWarning, match="not kept.*file"):
            assert client.get(f"{server.url}/p").body == PAGE
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert client.get(f"{server.url}/p").body == PAGE


def test__cache__shared_by_many_writers__every_entry_is_whole(tmp_path):
    from dallm.knowledge.fetch.cache import Entry, HttpCache

    def work(n):
        cache = HttpCache(tmp_path)
        for i in range(20):
            body = bytes([n]) * (10_000 + i)
            cache.save("k", Entry("u", "u", 200, {}, "t", 0.0, body))
            found = cache.load("k")
            assert found is not None
            assert len(set(found.body)) == 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert [p.suffix for p in tmp_path.rglob("*") if p.is_file()] == [".http"]


def test__default_folder__follows_the_convention(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "dallm" / "http"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_folder().is_absolute()


def test__politeness__one_request_at_a_time_to_a_host_with_a_pause_between(tmp_path):
    with serve(lambda request: Reply(body=b"x", after_s=0.02)) as server:
        clients = [HttpClient(cache=None, min_interval_s=0.05) for _ in range(3)]
        at_once(*(lambda c=c: [c.get(f"{server.url}/{i}") for i in range(2)] for c in clients))
        assert len(server.requests) == 6
        assert server.most_at_once == 1
        times = [request.at for request in server.requests]
        assert min(b - a for a, b in pairwise(times)) >= 0.06
        for client in clients:
            client.close()


def test__check__answer_that_is_no_use_now__is_tried_again_and_not_cached(server, client, clock):
    seen = []

    def check(answer):
        seen.append(answer.body)
        if len(seen) < 3:
            raise TryAgain("it is busy", wait_s=7)

    client.get(f"{server.url}/p", check=check)
    assert len(server.requests) == 3
    assert all(7 <= s <= 8 for s in clock.slept)


def test__permit__is_asked_for_every_address_of_a_redirect(server, client):
    server.fail(Reply(301, b"", {"location": "/private"}))

    def permit(url):
        if url.endswith("/private"):
            raise SourceError("not there")

    with pytest.raises(SourceError, match="not there"):
        client.get(f"{server.url}/p", permit=permit)
    assert [r.path for r in server.requests] == ["/p"]


def test__get_json__truncated_or_a_page__is_tried_again(server, client):
    whole = as_json({"a": [1, 2]})
    server.fail(Reply(200, whole.body[:-3], whole.headers), as_html("<p>proxy</p>"), whole)
    assert client.get_json(f"{server.url}/j") == {"a": [1, 2]}
    server.fail(*[as_html("<p>proxy</p>")] * 5)
    with pytest.raises(FetchError, match=r"no whole JSON \(text/html"):
        client.get_json(f"{server.url}/j2")


def test__cookies__are_not_sent_back(server, client):
    server.fail(Reply(200, b"x", {"set-cookie": "id=1"}))
    client.get(f"{server.url}/p")
    client.get(f"{server.url}/q")
    assert "cookie" not in server.requests[1].headers


def test__version__an_answer_cached_for_another_is_not_used(server, client):
    client.get(f"{server.url}/p", version="1")
    assert not client.get(f"{server.url}/p", version="2", max_age_s=60).from_cache
    assert client.get(f"{server.url}/p", version="1", max_age_s=60).from_cache


def test__entry__says_what_and_when(server, client):
    client.get(f"{server.url}/p")
    _, head, body = files(client)[0].read_bytes().split(b"\n", 2)
    told = json.loads(head)
    assert (told["asked"], told["status"], body) == (f"{server.url}/p", 200, PAGE)
    assert datetime.fromisoformat(told["retrieved_at"]) <= datetime.now(UTC) + timedelta(hours=1)
