"""Each runbook is a page in Grafana with the same text, whose links open there and keep the job and the time range."""

import re

import pytest
import yaml
from grafana_dashboards.runbooks import FOLDER, TAKES_JOB, in_grafana

from tests.configs.dashboards import DASHBOARDS, DEV, RUNBOOKS

FILES = sorted(FOLDER.glob("*.md"))
TITLES = {dashboard["title"]: uid for uid, dashboard in DASHBOARDS.items()}
PAGES = sorted(RUNBOOKS)
LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
KEPT = "?${job:queryparam}&${__url_time_range}"
OF_SERVICE = "?var-service=${job}&${__url_time_range}"


def content(uid: str) -> str:
    """The text of a runbook's page."""
    (panel,) = RUNBOOKS[uid]["panels"]
    assert (panel["type"], panel["options"]["mode"]) == ("text", "markdown")
    return panel["options"]["content"]


def test_each_runbook_has_a_page():
    assert {f"runbook-{file.stem}" for file in FILES} == set(RUNBOOKS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_page_shows_the_text_of_its_file(file):
    written, shown = (text.splitlines() for text in (file.read_text(), content(f"runbook-{file.stem}")))
    assert len(written) == len(shown)
    differing = [old for old, new in zip(written, shown, strict=True) if old != new]
    assert [line for line in differing if not re.search(r"\]\(|\*|\$", line)] == []
    assert RUNBOOKS[f"runbook-{file.stem}"]["title"] == written[0].removeprefix("# ")


@pytest.mark.parametrize("uid", PAGES)
def test_a_link_of_a_page_opens_and_keeps_the_job_and_the_time_range(uid):
    for _, target in LINK.findall(content(uid)):
        if not target.startswith("http"):
            found = re.fullmatch(r"/d/([\w-]+)(\?.+)", target)
            assert found and found[1] in DASHBOARDS.keys() | RUNBOOKS.keys(), target
            if found[1] == "log-lines":
                assert found[2] == OF_SERVICE
            else:
                keeps_job = found[1] in RUNBOOKS or found[1] in TAKES_JOB
                assert found[2] == (KEPT if keeps_job else "?${__url_time_range}")


@pytest.mark.parametrize("uid", PAGES)
def test_a_page_takes_the_job_of_its_alert_and_hands_it_on(uid):
    variables = {each["name"]: each for each in RUNBOOKS[uid]["templating"]["list"]}
    assert (variables["job"]["multi"], variables["job"]["includeAll"]) == (False, False)
    links = {each["title"]: each for each in RUNBOOKS[uid]["links"]}
    assert links["Runbooks"]["keepTime"] and links["Runbooks"]["includeVars"]
    assert links["Service"]["keepTime"] and links["Service"]["includeVars"]
    assert "service=${job}&" in links["Failed traces"]["url"]


@pytest.mark.parametrize(("uid", "chosen"), TAKES_JOB.items())
def test_a_dashboard_that_keeps_the_job_lets_any_service_be_chosen(uid, chosen):
    (variable,) = re.findall(r"^var-(\w+)=|^\$\{(\w+):queryparam\}$", chosen)
    assert "".join(variable) in {each["name"] for each in DASHBOARDS[uid]["templating"]["list"]}


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("[the dead](dead-letters.md)", f"[the dead](/d/runbook-dead-letters{KEPT})"),
        ("[a](new-one.md#fix)", f"[a](/d/runbook-new-one{KEPT})"),
        ("[slo.yml](../prometheus/rules/slo.yml)", "`dev-environment/prometheus/rules/slo.yml`"),
        ("[its\n  page](../grafana/README.md)", "its\n  page (`dev-environment/grafana/README.md`)"),
        ("[out](https://example.org/a.md) [here](#fix)", "[out](https://example.org/a.md) [here](#fix)"),
        ("* *Service\n  levels*", f"* [*Service\n  levels*](/d/slo{KEPT})"),
        ("*Host* and *Targets*", "[*Host*](/d/host?${__url_time_range}) and *Targets*"),
        ("*Log lines* of it", f"[*Log lines*](/d/log-lines{OF_SERVICE}) of it"),
        ("**Host**, 2*Host*2", "**Host**, 2*Host*2"),
        ("`[a](b.md) *Host*`", "`[a](b.md) *Host*`"),
        ("```\n[a](b.md)\n```", "```\n[a](b.md)\n```"),
        (
            "rate(up[$__rate_interval]) $job ${job:raw}",
            "rate(up[${dollar}__rate_interval]) ${dollar}job ${dollar}{job:raw}",
        ),
        ("print $NF $(ps) $jobs", "print $NF $(ps) $jobs"),
    ],
)
def test_a_link_is_rewritten_unless_it_is_code_or_opens_anywhere(written, shown):
    assert in_grafana(written, TITLES) == shown


def test_grafana_reads_each_folder_that_is_mounted():
    providers = yaml.safe_load((DEV / "grafana/provisioning/dashboards/all.yml").read_text())["providers"]
    compose = yaml.safe_load((DEV.parent / "docker-compose.devops.yml").read_text())
    mounted = dict(volume.removesuffix(":ro,z").rsplit(":", 1) for volume in compose["services"]["grafana"]["volumes"])
    read = {each["options"]["path"]: each["folder"] for each in providers}
    folders = (
        ("dashboards", "All-ERP"),
        ("runbooks", "Runbooks"),
        ("${GRAFANA_PROVISIONING:-provisioning}", "All-ERP"),
    )
    assert {
        mounted[f"./dev-environment/grafana/{name}"] + "/log-lines" * ("$" in name): folder for name, folder in folders
    } == read
