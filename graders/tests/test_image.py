"""The container image of a learner's environment, built by our own files, and used as a learner without any privilege."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import environments
from environments.params import practice
from graders.bundle.command import write_bundles
from graders.bundle.contents import common
from graders.tests.batches import COURSE, SLUG

IMAGE = f"mod209-test-{os.getpid()}:latest"
FOLDER = Path(environments.__file__).parent / "image"
# As the README says, but without a port: nothing listens in these tests.
CONFINED = ("--rm", "--init", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.thorough, pytest.mark.timeout(900)]


def missing() -> str:
    """Why no image can be built here, if so."""
    if not (shutil.which("docker") and shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return "building the image needs Docker, and Debian's apt-get and dpkg-deb"
    done = subprocess.run(["docker", "version"], capture_output=True, timeout=30, check=False)
    return "no Docker daemon answers" if done.returncode else ""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if reason := missing():
        pytest.skip(reason)
    [bundle] = write_bundles(common(COURSE, SLUG), [practice()], tmp_path_factory.mktemp("bundle"))
    command = [str(FOLDER / "build.sh"), str(bundle), IMAGE]
    done = subprocess.run(
        command, env=os.environ | {"PYTHON": sys.executable}, capture_output=True, text=True, timeout=800, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    yield IMAGE
    subprocess.run(["docker", "image", "rm", "--force", IMAGE], capture_output=True, check=True, timeout=120)


def run(image: str, script: str, *options: str) -> str:
    command = ["docker", "run", *CONFINED, "--network", "none", *options, image, "bash", "-ec", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.parametrize("user", ["", "4321:4321"])
def test_a_footprint_comes_up_and_goes_without_privileges_and_network(image: str, user: str) -> None:
    """As the image's own user, and as whoever owns a folder that is mounted."""
    script = f"""
        id -u
        grep CapEff /proc/self/status
        mod209 up {SLUG} --json >/tmp/up.json
        mod209 status {SLUG} --json >/tmp/status.json
        python -c "import json; print(json.load(open('/tmp/up.json'))['ready'])"
        python -c "import json; print({{s['state'] for s in json.load(open('/tmp/status.json'))['servers'].values()}})"
        mod209 down {SLUG}
    """
    options = ("--user", user) if user else ()
    uid, capabilities, ready, states, down = run(image, script, *options).splitlines()
    assert uid == (user.split(":", maxsplit=1)[0] or "1000")
    assert capabilities.split()[1] == "0" * 16
    assert (ready, states) == ("True", "{'running'}")
    assert down == f"The footprint of {SLUG} is stopped."


def test_a_learners_own_bundle_is_mounted_in(image: str, tmp_path: Path) -> None:
    shutil.copytree(COURSE / "labs" / SLUG, tmp_path / "labs" / SLUG)
    tmp_path.chmod(0o755)
    (tmp_path / "handed-in").mkdir(mode=0o777)
    (tmp_path / "handed-in").chmod(0o777)
    mount = ("--volume", f"{tmp_path}:/home/learner/course")
    told = json.loads(run(image, f"mod209 submit {SLUG} --learner ada --json", *mount))
    assert (tmp_path / "handed-in" / Path(told["archive"]).name).is_file()


def test_jupyterlab_is_in_it_and_nothing_that_grades(image: str) -> None:
    script = "jupyter lab --version; python -m pip list --format=freeze; find / -perm /6000 -type f 2>/dev/null || true"
    version, *packages = run(image, script).splitlines()
    assert version.startswith("4.")
    names = {package.split("==")[0].lower() for package in packages}
    assert "mod209-environments" in names
    assert not {"nbgrader", "mod209", "pytest", "distributed"} & names
    assert not [name for name in names if name.startswith("/")], "files that give more rights"
