"""The cage's parts that need no cage: frames, filter, staging, and cgroups."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import socket
import struct
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.errors import CageError
from graders.cage import Job, Limits, cgroup, seccomp
from graders.cage.frames import PREFIX, Frame, FrameError, FrameReader, Kind, printable
from graders.cage.staging import staged
from graders.tests.cage_jobs import submission


def written(frame: Frame) -> bytes:
    header = json.dumps({"kind": frame.kind, "name": frame.name, "problem": frame.problem}).encode()
    return PREFIX.pack(len(header), len(frame.body)) + header + frame.body


plain = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=80)
frames = st.lists(st.builds(Frame, st.sampled_from(Kind), plain, plain, st.binary(max_size=200)), max_size=5)


@given(frames, st.integers(1, 50))
def test_frames_come_out_as_they_went_in_however_they_are_cut(sent: list[Frame], size: int) -> None:
    stream, reader = b"".join(map(written, sent)), FrameReader(1000)
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert [frame for piece in pieces for frame in reader.feed(piece)] == sent


@given(st.binary(max_size=300))
def test_any_bytes_are_frames_or_a_frame_error(data: bytes) -> None:
    reader = FrameReader(1000)
    try:
        for frame in reader.feed(data):
            assert frame.kind in Kind
    except FrameError:
        return
    assert len(reader._buffer) <= len(data)


@pytest.mark.parametrize(
    "header",
    [
        b"nonsense",
        b"[]",
        b'{"kind": "exec"}',
        b'{"kind": 1}',
        b'{"name": "x"}',
        b'{"kind": "done", "x": "y"}',
        b"[" * 9000,
    ],
)
def test_bad_headers_are_refused(header: bytes) -> None:
    with pytest.raises(FrameError):
        list(FrameReader(10).feed(PREFIX.pack(len(header), 0) + header))


def test_lengths_are_bounded_before_anything_is_kept() -> None:
    for lengths in ((60000, 0), (2, 11), (2, 1 << 31)):
        with pytest.raises(FrameError, match="too long"):
            list(FrameReader(10).feed(PREFIX.pack(*lengths)))


@given(st.text())
def test_printable_text_cannot_steer_a_terminal(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


def decision(program: bytes, audit: int, number: int, argument: int = 0) -> int:
    """What a filter answers to a system call, by the rules of classic BPF."""
    data = struct.pack("<IIQQ", number, audit, 0, argument)
    steps = list(struct.iter_unpack("<HBBI", program))
    place = value = 0
    while True:
        code, hit, miss, operand = steps[place]
        if code == 0x06:
            return int(operand)
        if code == 0x20:
            (value,) = struct.unpack_from("<I", data, operand)
            place += 1
            continue
        met = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[code]
        place += 1 + (hit if met else miss)


ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
X86, ARM = ("x86_64", 0xC000003E), ("aarch64", 0xC00000B7)


@pytest.mark.parametrize(
    ("machine", "call", "argument", "answer"),
    [
        (X86, 0, 0, ALLOW),  # read
        (X86, 59, 0, ALLOW),  # execve
        (X86, 101, 0, ERRNO | errno.EPERM),  # ptrace
        (X86, 250, 0, ERRNO | errno.EPERM),  # keyctl
        (X86, 442, 0, ERRNO | errno.EPERM),  # mount_setattr
        (X86, 435, 0, ERRNO | errno.ENOSYS),  # clone3
        (X86, 56, 0x01200011, ALLOW),  # clone, as fork does it
        (X86, 56, 0x10000011, ERRNO | errno.EPERM),  # clone with a new user namespace
        (X86, 41, socket.AF_INET, ALLOW),
        (X86, 41, socket.AF_NETLINK, ALLOW),
        (X86, 41, 40, ERRNO | errno.EAFNOSUPPORT),  # vsock
        (X86, 41, 38, ERRNO | errno.EAFNOSUPPORT),  # kernel crypto
        (X86, 0x40000000 | 101, 0, KILL),  # ptrace by the x32 ABI
        (("x86_64", 0x40000003), 26, 0, KILL),  # ptrace by the 32-bit ABI
        (ARM, 63, 0, ALLOW),  # read
        (ARM, 117, 0, ERRNO | errno.EPERM),  # ptrace
        (ARM, 220, 0x10000011, ERRNO | errno.EPERM),
        (ARM, 198, 40, ERRNO | errno.EAFNOSUPPORT),
    ],
)
def test_filter_decides(machine: tuple[str, int], call: int, argument: int, answer: int) -> None:
    name, audit = machine
    assert decision(seccomp.program(name), audit, call, argument) == answer


def profiled(profile: dict[str, Any], name: str, argument: int) -> int:
    """What Docker's form of the filter answers, by the rules of libseccomp."""
    for rule in profile["syscalls"]:
        if name in rule["names"] and all(_met(condition, argument) for condition in rule["args"]):
            return ERRNO | int(rule["errnoRet"])
    return ALLOW


def _met(condition: dict[str, Any], argument: int) -> bool:
    value = condition["value"]
    match condition["op"]:
        case "SCMP_CMP_EQ":
            return bool(argument == value)
        case "SCMP_CMP_GT":
            return bool(argument > value)
        case _:
            return bool(argument & value == condition["valueTwo"])


CALLS = {"read": (0, 63), "execve": (59, 221), "clone": (56, 220), "clone3": (435, 435), "socket": (41, 198)}
numbers = st.one_of(st.integers(0, 50), st.integers(0, 31).map(lambda bit: 1 << bit), st.integers(0, 0xFFFFFFFF))


@given(st.sampled_from(sorted(CALLS | seccomp._DENIED)), numbers, st.sampled_from([0, 1]))
def test_both_forms_of_the_filter_decide_alike(name: str, argument: int, machine: int) -> None:
    (kind, audit), number = (X86, ARM)[machine], (CALLS | seccomp._DENIED)[name][machine]
    if number is not None:
        by_program = decision(seccomp.program(kind), audit, number, argument)
        assert profiled(seccomp.profile(kind), name, argument) == by_program


def test_docker_is_told_the_one_machine_and_lets_pass_what_is_not_denied() -> None:
    made = json.loads(json.dumps(seccomp.profile("aarch64")))
    assert (made["defaultAction"], made["architectures"]) == ("SCMP_ACT_ALLOW", ["SCMP_ARCH_AARCH64"])
    assert {rule["action"] for rule in made["syscalls"]} == {"SCMP_ACT_ERRNO"}


def test_unknown_machine_is_an_error_with_a_hint() -> None:
    with pytest.raises(CageError, match="riscv64") as caught:
        seccomp.program("riscv64")
    assert caught.value.hint


def test_staging_packs_files_and_orders(tmp_path: Path) -> None:
    files = submission(tmp_path, one=["1"])
    (files / "deep" / "er").mkdir(parents=True)
    (files / "deep" / "er" / "x.rego").write_bytes(b"package x")
    job = Job(files=files, notebooks=("one.ipynb",), access=b'{"role": "operator"}')
    with tarfile.open(fileobj=io.BytesIO(staged(job))) as archive:
        assert sorted(archive.getnames()) == ["job.json", "work/deep/er/x.rego", "work/one.ipynb"]
        packed, order = archive.extractfile("work/deep/er/x.rego"), archive.extractfile("job.json")
        assert packed is not None
        assert packed.read() == b"package x"
        assert order is not None
        assert json.load(order)["access"] == '{"role": "operator"}'


@pytest.mark.parametrize("kind", ["link", "folder link", "pipe", "socket", "too large", "missing"])
def test_staging_refuses_what_intake_should_have(tmp_path: Path, kind: str) -> None:
    files = submission(tmp_path / "files", one=["1"])
    with socket.socket(socket.AF_UNIX) as unix:
        match kind:
            case "link":
                (files / "x").symlink_to("/etc/passwd")
            case "folder link":
                (files / "x").symlink_to("/etc")
            case "pipe":
                os.mkfifo(files / "x")
            case "socket":
                unix.bind(str(files / "x"))
            case "too large":
                (files / "x").write_bytes(bytes(1 << 20))
            case "missing":
                (files / "one.ipynb").rename(files / "two.ipynb")
        job = Job(files=files, notebooks=("one.ipynb",), access=b"{}", limits=Limits(file_bytes=1 << 19))
        with pytest.raises(CageError, match="submission"):
            staged(job)


V1 = """\
30 20 0:26 / {root}/memory rw,relatime shared:1 - cgroup cgroup rw,memory
31 20 0:27 / {root}/pids rw,relatime - cgroup cgroup rw,pids
32 20 0:28 / {root}/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
33 20 0:29 / {root}/unified rw,relatime - cgroup2 cgroup2 rw
34 20 0:30 / /tmp rw - tmpfs tmpfs rw
"""
V2 = "33 20 0:29 / {root} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_version_1_is_found_beside_an_empty_version_2(tmp_path: Path) -> None:
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified" / "cgroup.controllers").write_text("\n")
    found = cgroup.hierarchy(V1.format(root=tmp_path))
    assert found.version == 1
    assert {name: folder.name for name, folder in found.folders.items()} == {
        "memory": "memory",
        "pids": "pids",
        "cpuacct": "cpu",
    }


def test_version_2_is_found_and_limits_are_written(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    found = cgroup.hierarchy(V2.format(root=tmp_path))
    assert found.version == 2
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids\n"
    group = found.create("mod209-cage-7", Limits(memory_bytes=1 << 20, processes=9))
    assert (tmp_path / "mod209-cage-7" / "memory.max").read_text() == "1048576\n"
    assert (tmp_path / "mod209-cage-7" / "pids.max").read_text() == "9\n"
    (tmp_path / "mod209-cage-7" / "memory.events").write_text("low 0\noom 2\noom_kill 3\n")
    (tmp_path / "mod209-cage-7" / "memory.peak").write_text("4096\n")
    (tmp_path / "mod209-cage-7" / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    assert (group.memory_kills(), group.peak_memory(), group.cpu_seconds()) == (3, 4096, 1.5)


@pytest.mark.parametrize("mounts", ["", "34 20 0:30 / /tmp rw - tmpfs tmpfs rw\n", V2])
def test_machine_without_controllers_is_an_error_with_a_hint(mounts: str, tmp_path: Path) -> None:
    with pytest.raises(CageError, match="cgroups") as caught:
        cgroup.hierarchy(mounts.format(root=tmp_path))
    assert caught.value.hint


def test_real_version_2_cgroup_is_killed_and_removed() -> None:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    root = next((Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"), None)
    if root is None or os.geteuid() != 0:
        pytest.skip("needs root and a cgroup2 mount")
    folder = root / f"mod209-test-{os.getpid()}"
    folder.mkdir()
    group = cgroup.Cgroup(2, {"memory": folder, "pids": folder})
    with subprocess.Popen(["sleep", "300"]) as sleeper:
        group.add(sleeper.pid)
        assert group.pids() == {sleeper.pid}
        used = group.cpu_seconds()
        assert used is not None
        assert used >= 0
        group.destroy()
        assert sleeper.wait(5) == -signal.SIGKILL
    assert not folder.exists()
    group.destroy()
