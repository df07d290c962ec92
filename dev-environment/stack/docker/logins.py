"""The logins of RabbitMQ and Grafana, which read them at their first start only: their volumes keep older ones."""

import asyncio
import http.client
import logging
from base64 import b64encode

from stack.docker import engine
from stack.report import say
from stack.settings import Settings

ANSWER_SECONDS = 5.0
# In the broker's container, whose environment has the present user and password, in UTF-8 as the services send them.
# rabbitmqctl would also read the password from standard input, but not with every version of Erlang.
SET_LOGIN = r"""
export LC_ALL=C.UTF-8
user=$RABBITMQ_DEFAULT_USER password=$RABBITMQ_DEFAULT_PASS
rabbitmqctl --quiet list_users | cut -f1 | grep -qxFe "$user" && change=change_password || change=add_user
rabbitmqctl --quiet $change -- "$user" "$password" &&
rabbitmqctl --quiet set_user_tags -- "$user" administrator &&
rabbitmqctl --quiet set_permissions -- "$user" '.*' '.*' '.*'
"""


def give_to_broker(settings: Settings) -> None:
    """Set the user and the password of the settings in a broker that refuses them; the services could not send events."""
    if asyncio.run(_is_refused_by_broker(settings)):
        say("RabbitMQ has another password from an earlier start: setting RABBITMQ_USER and RABBITMQ_PASSWORD")
        engine.compose("exec", "-T", "rabbitmq", "sh", "-c", SET_LOGIN)


async def _is_refused_by_broker(settings: Settings) -> bool:
    # Here, since every verb imports this module, and most need no broker.
    import aio_pika
    from aio_pika.exceptions import AMQPError, AuthenticationError, ProbableAuthenticationError
    from yarl import URL

    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # it logs what it raises
    url = URL.build(
        scheme="amqp",
        user=settings.values["RABBITMQ_USER"],
        password=settings.values["RABBITMQ_PASSWORD"],
        host="127.0.0.1",
        port=settings.port("RABBITMQ_PORT"),
    )
    try:
        await (await aio_pika.connect(url, timeout=ANSWER_SECONDS)).close()
    except (AuthenticationError, ProbableAuthenticationError):
        return True
    except (OSError, AMQPError):  # nobody can tell
        pass
    return False


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
