"""Downloading from a local server that answers as the Hugging Face hub does."""

import hashlib
import re
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants

from attention.files import FileProblem
from attention.hub import HubFile, HubModel, download, find_downloaded

REVISION = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b'{"model_type": "bert"}', "model.safetensors": bytes(range(256)) * 4000}
LARGE = "model.safetensors"  # kept elsewhere and linked to, as the hub does with large files


def model_of(files=FILES, revision=REVISION, repository="someone/a-model") -> HubModel:
    return HubModel(
        repository,
        revision,
        tuple(
            HubFile(name, len(data), hashlib.sha256(data).hexdigest())
            for name, data in files.items()
        ),
    )


class Hub(ThreadingHTTPServer):
    """One repository at one revision; the flags make it fail in the ways that a hub can fail."""

    def __init__(self, files=FILES, repository="someone/a-model") -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.hub, self.files, self.repository = self, files, repository
        self.storage = ThreadingHTTPServer(("127.0.0.1", 0), Answer)  # another host to the client
        self.storage.hub = self
        self.requests: list[tuple[str, str, str | None]] = []  # method, path, range
        self.authorizations: set[str | None] = set()
        self.fail_with: int | None = None
        self.hang_up_after: int | None = None  # bytes, once
        self.cut_at: int | None = None  # bytes, and claims that this is all
        self.damage = False
        self.ignores_ranges = False
        self.is_another_site = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def storage_address(self) -> str:
        return f"http://127.0.0.1:{self.storage.server_port}/storage"

    @contextmanager
    def running(self):
        """Serve until the block is left."""
        servers = (self, self.storage)
        threads = [
            threading.Thread(target=server.serve_forever, args=(0.02,)) for server in servers
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            for server, thread in zip(servers, threads, strict=True):
                server.shutdown()
                thread.join()
                server.server_close()


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        hub = self.server.hub
        hub.requests.append((self.command, self.path, self.headers.get("Range")))
        hub.authorizations.add(self.headers.get("Authorization"))
        if hub.fail_with:
            return self.say(hub.fail_with)
        if hub.is_another_site:
            return self.say(200, {"Content-Type": "text/html"}, b"<p>Log in to the Wi-Fi</p>")
        if self.path.startswith("/storage/"):
            return self.send_large(hub.files[self.path.rpartition("/")[2]])
        path = re.fullmatch(r"/(.+/.+)/resolve/([^/]+)/([^/]+)", self.path)
        if path is None:
            return self.say(404)
        repository, revision, name = path.groups()
        if repository != hub.repository:
            return self.say(401, {"X-Error-Code": "RepoNotFound"})
        if revision != REVISION:
            return self.say(404, {"X-Error-Code": "RevisionNotFound"})
        if name not in hub.files:
            return self.say(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": REVISION})
        data = hub.files[name]
        headers = {"X-Repo-Commit": REVISION, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
        if name != LARGE:
            return self.say(200, headers, data)
        digest = hashlib.sha256(data).hexdigest()
        headers |= {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(data))}
        return self.say(302, headers | {"Location": f"{hub.storage_address}/{name}"})

    def send_large(self, data: bytes) -> None:
        hub = self.server.hub
        if hub.damage:
            data = bytes(len(data))
        if hub.cut_at is not None:
            data = data[: hub.cut_at]
        asked = "" if hub.ignores_ranges else self.headers.get("Range") or ""
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
        start = int(span[1]) if span else 0
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if span else {}
        if hub.hang_up_after is not None:
            length, hub.hang_up_after = hub.hang_up_after, None
            self.say(206 if span else 200, headers, data[start:], only=length)
            self.close_connection = True
            return
        self.say(206 if span else 200, headers, data[start:])

    def say(self, status: int, headers=(), body: bytes = b"", only: int | None = None) -> None:
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:only])

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def hub():
    with Hub().running() as server:
        yield server


def fetch(hub, cache, model=None, **options):
    return download(model or model_of(), cache=cache, endpoint=hub.address, **options)


# ---- what works


def test_files_arrive_whole_are_kept_and_not_fetched_again(hub, tmp_path):
    assert find_downloaded(model_of(), cache=tmp_path) is None
    folder = fetch(hub, tmp_path)
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert find_downloaded(model_of(), cache=tmp_path) == folder
    hub.requests.clear()
    assert fetch(hub, tmp_path) == folder
    assert not hub.requests


def test_it_asks_for_the_pinned_revision_and_sends_no_token(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch(hub, tmp_path)
    resolved = [path for _, path, _ in hub.requests if not path.startswith("/storage/")]
    assert resolved and all(f"/resolve/{REVISION}/" in path for path in resolved)
    assert hub.authorizations == {None}


def test_progress_rises_to_all_bytes_of_all_files(hub, tmp_path):
    seen = []
    fetch(hub, tmp_path, progress=lambda done, total: seen.append((done, total)))
    total = sum(map(len, FILES.values()))
    done = [entry[0] for entry in seen]
    assert done == sorted(done)
    assert seen[-1] == (total, total)
    assert {entry[1] for entry in seen} == {total}


def test_it_goes_on_where_the_connection_broke(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50_000)  # what arrives at a time
    hub.hang_up_after = 320_000
    seen = []
    folder = fetch(hub, tmp_path, progress=lambda done, total: seen.append(done))
    assert (folder / LARGE).read_bytes() == FILES[LARGE]
    ranges = [span for _, path, span in hub.requests if path.startswith("/storage/") and span]
    assert ranges == ["bytes=300000-"]
    assert seen == sorted(seen)


def test_progress_does_not_fall_where_it_must_begin_again(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50_000)
    hub.hang_up_after, hub.ignores_ranges = 320_000, True
    seen = []
    folder = fetch(hub, tmp_path, progress=lambda done, total: seen.append(done))
    assert (folder / LARGE).read_bytes() == FILES[LARGE]
    assert seen == sorted(seen)


# ---- what does not


def test_without_a_network_it_says_so_soon(tmp_path):
    with socket.socket() as probe:  # a port at which nobody listens
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(FileProblem, match="there is no network, or the hub does not answer"):
            download(model_of(), cache=tmp_path, endpoint=address)


def test_a_page_that_answers_in_the_hubs_place_is_named(hub, tmp_path):
    hub.is_another_site = True
    with pytest.raises(FileProblem, match="what answered is not the hub"):
        fetch(hub, tmp_path)


def test_offline_mode_is_respected(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileProblem, match="no network|HF_HUB_OFFLINE"):
        fetch(hub, tmp_path)
    assert not hub.requests


@pytest.mark.parametrize(
    "model, said",
    [
        (model_of(revision="f" * 40), "knows someone/a-model, but not its revision ffffffff"),
        (model_of(repository="no/body"), "does not know no/body"),
        (model_of(FILES | {"other.bin": b"x"}), "has no other.bin of someone/a-model at the"),
    ],
)
def test_what_the_hub_does_not_have(hub, tmp_path, model, said):
    with pytest.raises(FileProblem, match=said):
        fetch(hub, tmp_path, model)
    assert find_downloaded(model, cache=tmp_path) is None


@pytest.mark.parametrize("status", [403, 500])
def test_a_hub_that_refuses_or_is_ill(hub, tmp_path, status):
    hub.fail_with = status
    with pytest.raises(FileProblem, match=f"The hub answered {status} for config.json"):
        fetch(hub, tmp_path)


def test_a_file_that_is_cut_short_is_not_kept(hub, tmp_path):
    hub.cut_at = 700_000
    with pytest.raises(FileProblem, match="model.safetensors of someone/a-model did not arrive"):
        fetch(hub, tmp_path)
    assert find_downloaded(model_of(), cache=tmp_path) is None
    hub.cut_at = None
    assert (fetch(hub, tmp_path) / LARGE).read_bytes() == FILES[LARGE]


def test_a_file_with_other_bytes_is_not_kept(hub, tmp_path):
    hub.damage = True
    with pytest.raises(FileProblem, match="not the one that was expected.*It was not kept"):
        fetch(hub, tmp_path)
    assert find_downloaded(model_of(), cache=tmp_path) is None
    hub.damage = False
    assert (fetch(hub, tmp_path) / LARGE).read_bytes() == FILES[LARGE]


def test_a_damaged_file_in_the_cache_is_fetched_again(hub, tmp_path):
    path = fetch(hub, tmp_path) / LARGE
    path.resolve().write_bytes(b"half")
    assert find_downloaded(model_of(), cache=tmp_path) is None
    assert (fetch(hub, tmp_path) / LARGE).read_bytes() == FILES[LARGE]
