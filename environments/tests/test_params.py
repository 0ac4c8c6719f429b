"""Per-learner parameters, and the files that name everything."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.errors import BadInputError
from environments.labspec import LabSpec, load_lab
from environments.params import LEARNER_ID, derive, read_term_key
from environments.platform import platform
from environments.yamlfile import load_yaml

COURSE = Path(__file__).parents[2]
learners = st.from_regex(LEARNER_ID, fullmatch=True)
keys = st.binary(min_size=32, max_size=32)


@given(learners, keys)
def test_parameters_are_the_same_whenever_they_are_computed(learner: str, key: bytes) -> None:
    assert derive(learner, key) == derive(learner, key)


@given(learners, learners, keys)
def test_two_learners_never_share_a_registry_or_an_audience(one: str, other: str, key: bytes) -> None:
    if one == other:
        return
    mine, theirs = derive(one, key), derive(other, key)
    assert mine.audience != theirs.audience
    assert not {c.registry for c in mine.clouds.values()} & {c.registry for c in theirs.clouds.values()}


@given(learners, keys)
def test_every_cloud_allows_health_data_in_some_regions_and_not_in_all(learner: str, key: bytes) -> None:
    params = derive(learner, key)
    assert params.clouds.keys() == platform().clouds.keys()
    for cloud in params.clouds.values():
        assert 0 < len(cloud.health_regions) < len(cloud.regions)
        assert {cloud.region, *cloud.health_regions} <= set(cloud.regions)


@given(learners, keys, keys)
def test_another_terms_key_gives_other_parameters(learner: str, key: bytes, other: bytes) -> None:
    assert (derive(learner, key) == derive(learner, other)) == (key == other)


@pytest.mark.parametrize("learner", ["", ".", "..", "../x", "a/b", "a b", "-x", "x" * 65, "é", "a\n"])
def test_an_id_that_could_not_name_a_folder_is_refused(learner: str) -> None:
    with pytest.raises(BadInputError, match="cannot be a learner's id"):
        derive(learner, bytes(32))


def test_the_term_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "config" / "term.key"
    key = read_term_key(path)
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_term_key(path) == key


def test_a_term_key_that_others_can_read_or_that_is_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "term.key"
    path.write_bytes(bytes(32))
    path.chmod(0o644)
    with pytest.raises(BadInputError, match="Others can read"):
        read_term_key(path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(BadInputError, match="shorter than 32 bytes"):
        read_term_key(path)


def test_all_problems_of_a_yaml_file_are_listed_at_once_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(
        "schema: 1\nslug: zero-trust\ntitle: x\nversion: 1.0.0\ncriterion: x\ntasks:\n- id: nonsense\n  minutes: 0\nextra: 1\n"
    )
    with pytest.raises(BadInputError) as caught:
        load_yaml(path, LabSpec)
    message = caught.value.message
    assert f"{path}:7: tasks.0.id" in message
    assert f"{path}:8: tasks.0.minutes" in message
    assert f"{path}:9: extra: Extra inputs are not permitted" in message


def test_broken_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text("a: 1\nb: [1\n")
    with pytest.raises(BadInputError, match=r"lab.yaml:3"):
        load_yaml(path, LabSpec)


def test_yaml_that_would_build_python_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text("a: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(BadInputError, match="could not determine a constructor"):
        load_yaml(path, LabSpec)


def test_a_lab_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(BadInputError) as caught:
        load_lab(COURSE, "no-such-lab")
    assert "zero-trust" in caught.value.hint
