"""The login of Grafana, which reads it at its first start only: its volume keeps an older one."""

import http.client
from base64 import b64encode

from stack.settings import Settings

ANSWER_SECONDS = 5.0


def is_refused_by_grafana(settings: Settings) -> bool:
    """Whether Grafana's administrator has another password, which somebody may have chosen; False if nobody can tell."""
    login = b64encode(f"admin:{settings.values['GRAFANA_ADMIN_PASSWORD']}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", settings.port("GRAFANA_PORT"), timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/api/user", headers={"Authorization": f"Basic {login}"})
        return connection.getresponse().status == http.HTTPStatus.UNAUTHORIZED
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
