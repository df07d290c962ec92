"""The preparation reaches the databases whatever characters the password has."""

import re
from urllib.parse import unquote, urlsplit

import pytest
from stack.prepare import with_password
from stack.settings import ROOT

URLS = re.findall(r"(?:SUPERUSER_URL|MIGRATE_URL_TEMPLATE): (\S+)", (ROOT / "docker-compose.dev.yml").read_text())


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("password", [*"/#?@%:$'\"\\ é{}", "%41", "{service}", "plain"])
def test_the_password_stands_quoted_in_the_url_of_the_compose_file(url, password):
    made = urlsplit(with_password(url, password).format(service="auth"))
    assert (unquote(made.password or ""), made.hostname, made.port) == (password, "postgres", 5432)


def test_both_urls_leave_a_place_for_it():
    assert [url.count("{password}") for url in URLS] == [1, 1]
