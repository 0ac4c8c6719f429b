"""Tools that are fetched: from a folder, a mirror or the publisher's release, and every way in which that goes wrong."""

from __future__ import annotations

import hashlib
import socket
import threading
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.errors import ToolError
from environments.tests.toolchain_mirror import PUBLISHED, Machine, Mirror, fake_binary
from environments.toolchain import Event, Stage, download, locate, resolve
from environments.toolchain.catalog import spec_of
from environments.toolchain.download import _check, sum_in
from environments.toolchain.tool import UnavailableError

pytest_plugins = ["environments.tests.toolchain_fixtures"]


@pytest.fixture
def releases(machine: Machine, mirror: Mirror) -> Mirror:
    """A mirror that stands for all publishers; Go fails at once, so that no build hides a failed download."""
    machine.environment.setenv("MOD209_RELEASES", mirror.url)
    machine.put_go("echo no source today; exit 1")
    return mirror


def refusal(name: str) -> str:
    """Why `name` could not be had."""
    with pytest.raises(ToolError) as caught:
        resolve([name])
    assert caught.value.hint
    assert locate(name) is None
    return caught.value.message


def test_all_tools_come_from_releases_and_then_from_the_cache(releases: Mirror, machine: Machine) -> None:
    for name in PUBLISHED:
        releases.publish(name, fake_binary(name))
    tools = resolve(PUBLISHED)
    assert list(tools) == PUBLISHED
    assert {tool.source for tool in tools.values()} == {"release"}
    assert all(tool.origin.startswith(releases.url) for tool in tools.values())
    asked = len(releases.asked)
    assert {tool.source for tool in resolve(PUBLISHED).values()} == {"cache"}
    assert len(releases.asked) == asked
    assert machine.leftovers() == []


def test_only_what_is_asked_for_is_fetched(releases: Mirror) -> None:
    for name in PUBLISHED:
        releases.publish(name, fake_binary(name))
    resolve(["opa"])
    assert releases.asked == [releases.checksums("opa"), releases.asset("opa")]


def test_progress_counts_bytes_and_ends_ready(releases: Mirror) -> None:
    releases.publish("opa", fake_binary("opa", size=1 << 20))
    events: list[Event] = []
    resolve(["opa"], progress=events.append)
    sizes = [(event.done, event.total) for event in events if event.stage is Stage.DOWNLOADING]
    whole = len(releases.files[releases.asset("opa")])
    assert sizes[-1] == (whole, whole)
    assert sizes == sorted(sizes)
    assert events[-1].stage is Stage.READY


def test_a_missing_asset_is_reported(releases: Mirror) -> None:
    releases.publish("etcd", fake_binary("etcd"))
    releases.faults[releases.asset("etcd")] = "missing"
    assert "answers 404" in refusal("etcd")


def test_a_release_without_checksums_is_refused(releases: Mirror) -> None:
    releases.publish("etcd", fake_binary("etcd"))
    releases.faults[releases.checksums("etcd")] = "missing"
    assert "answers 404" in refusal("etcd")
    assert releases.asset("etcd") not in releases.asked


def test_a_checksum_file_without_the_asset_is_refused(releases: Mirror) -> None:
    releases.publish("etcd", fake_binary("etcd"))
    releases.files[releases.checksums("etcd")] = b"0" * 64 + b"  another-file\n"
    assert "has no checksum of" in refusal("etcd")


@pytest.mark.parametrize("name", ["etcd", "opa", "vault"])
def test_a_wrong_checksum_is_refused(releases: Mirror, machine: Machine, name: str) -> None:
    releases.publish(name, fake_binary(name))
    releases.files[releases.asset(name)] += b"\n"
    assert "refused" in refusal(name)
    assert machine.leftovers() == []


def test_a_truncated_download_is_refused_after_a_second_try(releases: Mirror, machine: Machine) -> None:
    releases.publish("opa", fake_binary("opa", size=1 << 16))
    releases.faults[releases.asset("opa")] = "truncated"
    assert "release:" in refusal("opa")
    assert releases.asked.count(releases.asset("opa")) == 2
    assert machine.leftovers() == []


def test_a_wrong_version_is_refused(releases: Mirror, machine: Machine) -> None:
    releases.publish("vault", fake_binary("vault", "1.20.0"))
    assert "is version 1.20.0, not 1.21.0" in refusal("vault")
    assert machine.leftovers() == []


def test_a_file_that_does_not_run_is_refused(releases: Mirror) -> None:
    releases.publish("opa", b"<html>Please log in</html>")
    assert "does not run" in refusal("opa")


@pytest.mark.parametrize("name", ["etcd", "vault"])
@pytest.mark.parametrize("data", [b"", b"no archive", b"\x1f\x8b\x08\x00 no gzip", b"PK\x05\x06" + bytes(18)])
def test_an_archive_without_the_binary_is_refused(releases: Mirror, name: str, data: bytes) -> None:
    releases.files[releases.asset(name)] = data
    releases.files[releases.checksums(name)] = hashlib.sha256(data).hexdigest().encode()
    assert "is not an archive" in refusal(name)


def test_a_server_that_never_answers_is_given_up(releases: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("environments.toolchain.download.STALL_SECONDS", 0.3)
    releases.publish("opa", fake_binary("opa"))
    releases.faults[releases.asset("opa")] = "silent"
    assert "timed out" in refusal("opa")


def test_a_name_lookup_that_hangs_is_given_up(releases: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("environments.toolchain.download.CONNECT_SECONDS", 0.3)
    end = threading.Event()

    def hang(*_: Any, **__: Any) -> Any:
        end.wait()
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    message = refusal("opa")
    end.set()
    assert "no connection to 127.0.0.1 within 0.3 s" in message
    assert releases.asked == []


def test_the_publisher_is_given_up_after_five_seconds() -> None:
    assert download.CONNECT_SECONDS == 5.0


def test_a_redirect_away_from_tls_is_refused() -> None:
    response = httpx.Response(200, request=httpx.Request("GET", "http://example.org/tool"))
    with pytest.raises(UnavailableError, match="without TLS"):
        _check(response, "https://example.org/tool")
    _check(response, "http://example.org/tool")


def test_one_error_tells_of_all_tools_that_failed(releases: Mirror) -> None:
    releases.publish("opa", fake_binary("opa"))
    with pytest.raises(ToolError) as caught:
        resolve(["etcd", "opa", "vault"])
    assert "etcd 3.7.3" in caught.value.message
    assert "vault 1.21.0" in caught.value.message
    assert "opa" not in caught.value.message
    assert locate("opa") is not None


def test_a_mirror_comes_before_the_release(releases: Mirror, machine: Machine) -> None:
    releases.publish("opa", fake_binary("opa"))
    machine.environment.setenv("MOD209_RELEASES", "http://127.0.0.1:1")
    machine.environment.setenv("MOD209_TOOLS", releases.url + "/")
    assert resolve(["opa"])["opa"].source == "mirror"


def test_a_mirror_without_the_tool_is_passed_over(releases: Mirror, machine: Machine) -> None:
    releases.publish("opa", fake_binary("opa"))
    machine.environment.setenv("MOD209_TOOLS", f"{releases.url}/elsewhere")
    assert resolve(["opa"])["opa"].source == "release"


@pytest.mark.parametrize("found", [None, fake_binary("opa", "1.0.0"), b"junk"])
def test_a_folder_without_the_right_binary_is_passed_over(
    releases: Mirror, machine: Machine, found: bytes | None
) -> None:
    releases.publish("opa", fake_binary("opa"))
    folder = machine.root / "tools"
    folder.mkdir()
    if found is not None:
        machine.put("opa", found, folder)
    machine.environment.setenv("MOD209_TOOLS", str(folder))
    assert resolve(["opa"])["opa"].source == "release"


def test_a_folder_that_does_not_exist_is_the_users_mistake(releases: Mirror, machine: Machine) -> None:
    machine.environment.setenv("MOD209_TOOLS", "/nonexistent/tools")
    assert "/nonexistent/tools, which is not a folder" in refusal("opa")


def test_a_tool_from_a_folder_outlives_the_folder(machine: Machine) -> None:
    original = machine.put("opa", fake_binary("opa"), machine.root / "tools")
    machine.environment.setenv("MOD209_TOOLS", str(original.parent))
    tool = resolve(["opa"])["opa"]
    original.unlink()
    assert (tool.source, locate("opa") is not None) == ("directory", True)
    assert tool.path.is_relative_to(machine.cache)


def test_a_pinned_sum_is_held_against_a_publisher_that_lies(releases: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    release = spec_of("opa").release
    assert release
    pinned = release.model_copy(update={"sha256": {"amd64": "0" * 64, "arm64": "0" * 64}})
    spec = spec_of("opa").model_copy(update={"release": pinned})
    monkeypatch.setattr("environments.toolchain.acquire.spec_of", lambda _: spec)
    releases.publish("opa", fake_binary("opa"))
    assert f"but {'0' * 64} is published" in refusal("opa")
    assert releases.checksums("opa") not in releases.asked


FILE_NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1).filter(
    lambda name: not name.startswith(".")
)
SUMS = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(st.dictionaries(FILE_NAMES, SUMS, min_size=1), st.sampled_from(["  ", " *", "  ./"]))
def test_a_sum_is_found_whatever_else_is_listed(sums: dict[str, str], gap: str) -> None:
    text = "".join(f"{value}{gap}{name}\n" for name, value in sums.items())
    assert {name: sum_in(text, name) for name in sums} == sums
    assert sum_in(text, "Not-There") is None


@given(SUMS)
def test_a_bare_sum_stands_for_the_one_file(value: str) -> None:
    assert sum_in(f"{value}\n", "kubectl") == value
    assert sum_in(f"{value}\n{value}\n", "kubectl") is None
