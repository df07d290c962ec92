"""The arguments of a queue, which those of existing volumes must equal: the broker refuses any other."""

from libs.service_kit.events.rabbitmq import queue_arguments
from libs.service_kit.settings import EventSettings


def test_at_the_defaults_they_are_those_of_every_queue_that_exists():
    assert queue_arguments("budget", EventSettings()) == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 8,
        "x-delayed-retry-type": "failed",
        "x-delayed-retry-min": 1_000,
        "x-delayed-retry-max": 60_000,
        "x-dead-letter-exchange": "erp.dead",
        "x-dead-letter-routing-key": "budget",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def test_attempts_and_pauses_follow_the_settings():
    arguments = queue_arguments("budget", EventSettings(max_attempts=3, retry_seconds=90.5))
    assert (arguments["x-delivery-limit"], arguments["x-delayed-retry-min"]) == (3, 90_500)
    assert arguments["x-delayed-retry-max"] == 90_500
