"""Probes as data: what files may say, what becomes of them, and that those of the lab are complete."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environments.access import Access, Identity
from environments.errors import BadInputError
from environments.labspec import load_lab
from environments.params import practice
from environments.platform import platform
from environments.probes import Probe, load_probes
from environments.probes.cases import Case, cases_of
from environments.probes.facts import PLACEHOLDERS, facts_of, render
from environments.probes.guise import Guise, guise
from environments.probes.kinds.admission import AdmissionProbe
from environments.probes.model import PROBES
from environments.probes.pods import SHAPES, good_template, laid_over, template_in, with_template, wrapped
from environments.tests.securing import nowhere

COURSE = Path(__file__).parents[2]
VISIBLE = COURSE / "labs" / "zero-trust" / "probes"
HIDDEN = COURSE / "solutions" / "zero-trust" / "probes"


def all_probes() -> list[Probe]:
    return load_probes(VISIBLE, visible=True) + load_probes(HIDDEN, visible=False)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "zt-3.yaml"
    path.write_text(text)
    return path


def test_every_check_has_visible_and_hidden_probes_or_is_judged_alone() -> None:
    checks = {check.id for check in load_lab(COURSE, "zero-trust").checks}
    assert {probe.check for probe in load_probes(VISIBLE, visible=True)} == checks
    assert {probe.check for probe in load_probes(HIDDEN, visible=False)} >= checks - {
        "ZT-1.1",  # nothing else to ask than what the learner sees
        "ZT-1.5",
        "ZT-1.6",
        "ZT-2.1",
        "ZT-7.2",
        "ZT-7.4",
        "ZT-6.1",
        "ZT-5.1",  # there is one record, one credential in kv, one that leaked
        "ZT-5.2",
        "ZT-5.4",
        "ZT-5.6",
        "ZT-4.5",
    }


def test_ids_are_unique_over_all_files() -> None:
    ids = [probe.id for probe in all_probes()]
    assert len(ids) == len(set(ids))


def test_no_hidden_probe_is_in_what_learners_get() -> None:
    public = "".join(path.read_text() for path in VISIBLE.glob("*.yaml"))
    assert not [probe.id for probe in load_probes(HIDDEN, visible=False) if f"id: {probe.id}\n" in public]


def test_problems_of_a_file_are_listed_at_once_with_their_lines(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "schema: 1\n"
        "task: ZT-3\n"
        "probes:\n"
        "  - {id: a, check: ZT-3.2, kind: admission, why: because of this, expect: allowed, surprise: 1}\n"
        "  - {id: b, check: ZT-3.2, kind: admission, why: because of that, expect: allowed, with: {spec: '{nobody}'}}\n"
        "  - {id: c, check: ZT-3.2, kind: admission, why: because of both, expect: refused}\n",
    )
    with pytest.raises(BadInputError) as error:
        load_probes(path, visible=True)
    text = str(error.value)
    assert f"{path}:4: " in text
    assert "surprise" in text
    assert f"{path}:5: " in text
    assert "unknown placeholder nobody" in text
    assert f"{path}:6: " in text
    assert "needs a fault" in text


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("{id: a, check: ZT-1.1, kind: admission, why: because of this, expect: allowed}", "not of ZT-3"),
        ("{id: a, check: ZT-3.1, kind: admission, why: because of this, expect: allowed, workload: me}", "no workload"),
        ("{id: a, check: ZT-3.1, kind: admission, why: because of this, expect: allowed, clouds: [ibm]}", "no cloud"),
        ("{id: a, check: ZT-3.1, kind: login, why: because of this, expect: refused}", "fault of its token"),
        ("{id: a, check: ZT-3.1, kind: admission, why: because of this, expect: allowed, rules: [x]}", "needs a fault"),
    ],
)
def test_a_probe_that_makes_no_sense_is_refused(tmp_path: Path, body: str, problem: str) -> None:
    with pytest.raises(BadInputError, match=problem):
        load_probes(written(tmp_path, f"schema: 1\ntask: ZT-3\nprobes:\n  - {body}\n"), visible=True)


def test_two_probes_of_one_name_are_refused(tmp_path: Path) -> None:
    probe = "  - {id: a, check: ZT-3.1, kind: admission, why: because of this, expect: allowed}\n"
    with pytest.raises(BadInputError, match="more than one probe is called a"):
        load_probes(written(tmp_path, f"schema: 1\ntask: ZT-3\nprobes:\n{probe}{probe}"), visible=True)


def test_a_folder_without_probes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no probes"):
        load_probes(tmp_path, visible=True)


def test_probes_survive_the_way_to_the_judge() -> None:
    probes = all_probes()
    assert PROBES.validate_json(PROBES.dump_json(probes, by_alias=True)) == probes


def requests_of(access: Access, seed: bytes) -> str:
    admissions = [probe for probe in all_probes() if isinstance(probe, AdmissionProbe)]
    faults = {probe.id: probe.fault for probe in admissions}
    cases = cases_of(access, seed, admissions)
    return json.dumps([[case.cloud, case.workload.role, render(faults[case.probe.id], case.facts)] for case in cases])


def test_one_seed_gives_the_same_requests_and_another_seed_others() -> None:
    access = nowhere()
    assert requests_of(access, b"this term") == requests_of(access, b"this term")
    assert requests_of(access, b"this term") != requests_of(access, b"next term")


@settings(max_examples=10, deadline=None)
@given(st.binary(max_size=32))
def test_whoever_asks_and_however_some_request_of_each_check_must_be_refused(seed: bytes) -> None:
    admissions = [probe for probe in all_probes() if isinstance(probe, AdmissionProbe)]
    people = [Identity(user=name) for name in ("operator", "colleague", "stranger", "account")]
    looks: dict[str, list[Guise]] = {probe.check: [] for probe in admissions}
    for case in cases_of(nowhere(), seed, admissions):
        probe = case.probe
        if isinstance(probe, AdmissionProbe) and probe.expect == "refused":
            looks[probe.check].append(guise(people, case.turn, dry_run=probe.dry_run, refused=True))
    for ways in looks.values():
        assert {way.who.user for way in ways if way.who} == {one.user for one in people}
        assert {way.dry_run for way in ways} == {True, False}


def test_an_operators_self_check_stores_no_more_than_it_must() -> None:
    assert {
        guise([], turn, dry_run=True, refused=refused).dry_run for turn in range(20) for refused in (True, False)
    } == {True}


def test_learners_get_different_requests() -> None:
    assert requests_of(nowhere("ada"), b"t") != requests_of(nowhere("bob"), b"t")


def test_every_placeholder_has_a_value_everywhere() -> None:
    for cloud in platform().clouds:
        for workload in platform().workloads:
            facts = facts_of(nowhere(), b"seed", "probe", cloud, workload)
            assert facts.keys() == PLACEHOLDERS
            assert all(facts.values())


@given(st.binary(max_size=32), st.text(st.characters(codec="ascii", categories=["Ll"]), min_size=1, max_size=8))
def test_forbidden_regions_are_never_allowed_ones(seed: bytes, probe_id: str) -> None:
    access = nowhere()
    for cloud, params in practice().clouds.items():
        facts = facts_of(access, seed, probe_id, cloud, platform().workloads[0])
        allowed = set(access.params.clouds[cloud].health_regions)
        forbidden = {facts["forbidden_region"], facts["forbidden_region_2"], facts["forbidden_region_3"]}
        assert {facts["health_region"], facts["health_region_2"]} == allowed
        assert forbidden == set(params.regions) - allowed
        assert facts["foreign_region"] not in params.regions


def case_of(kind: str) -> Case:
    probe = AdmissionProbe.model_validate(
        {"id": "a", "check": "ZT-3.1", "kind": "admission", "why": "because of this", "expect": "allowed", "as": [kind]}
    )
    return next(iter(cases_of(nowhere(), b"seed", [probe])))


@pytest.mark.parametrize("kind", SHAPES)
def test_a_compliant_object_carries_the_template_where_its_kind_has_it(kind: str) -> None:
    case = case_of(kind)
    template = good_template(case)
    whole = wrapped(kind, "name", case.facts["namespace"], template, {"metadata": {"labels": {"outer": "yes"}}})
    found = template_in(whole, SHAPES[kind])
    assert found["spec"] == template["spec"]
    assert found["metadata"]["labels"].items() >= template["metadata"]["labels"].items()
    assert whole["metadata"]["labels"]["outer"] == "yes"
    assert template_in(with_template(whole, SHAPES[kind].template, {"spec": {}}), SHAPES[kind]) == {"spec": {}}


@pytest.mark.parametrize("kind", [kind for kind, shape in SHAPES.items() if shape.template])
def test_no_controller_takes_pods_that_another_request_has_stored(kind: str) -> None:
    case, namespace = case_of(kind), "training"
    one, other = (wrapped(kind, name, namespace, good_template(case), {}) for name in ("one", "other"))
    pod = wrapped("Pod", "pod", namespace, good_template(case), {})
    selected = one["spec"].get("selector", {}).get("matchLabels") if "spec" in one else None
    wanted = (selected or template_in(one, SHAPES[kind])["metadata"]["labels"]).items()  # what a controller goes by
    assert wanted <= template_in(one, SHAPES[kind])["metadata"]["labels"].items()
    for stranger in (template_in(other, SHAPES[kind]), pod):
        assert not wanted <= stranger["metadata"]["labels"].items()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
TREE = st.dictionaries(st.text(max_size=2), JSON, max_size=4)


@given(TREE)
def test_nothing_laid_over_changes_nothing(tree: dict[str, object]) -> None:
    assert laid_over(tree, {}) == tree


@given(TREE, TREE)
def test_laying_over_twice_is_laying_over_once(tree: dict[str, object], overlay: dict[str, object]) -> None:
    once = laid_over(tree, overlay)
    assert laid_over(once, overlay) == once


@given(TREE, st.text(max_size=2))
def test_null_removes_a_key(tree: dict[str, object], key: str) -> None:
    assert laid_over(tree, {key: None}) == {name: value for name, value in tree.items() if name != key}


def test_lists_are_laid_over_item_by_item() -> None:
    base = [{"name": "a", "image": "x"}, {"name": "b"}]
    assert laid_over(base, [None, {"image": "y"}, {"name": "c"}]) == [
        {"name": "a", "image": "x"},
        {"name": "b", "image": "y"},
        {"name": "c"},
    ]
    assert base == [{"name": "a", "image": "x"}, {"name": "b"}]
