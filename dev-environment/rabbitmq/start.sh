#!/bin/sh
# Writes RabbitMQ's users, with the passwords of the environment, into a file that RabbitMQ reads whenever it starts,
# before it accepts a connection: by itself it would keep those of its first start. Then starts it.
set -eu

definitions=/etc/rabbitmq/users.json
services="auth tenant system budget personnel"
# Each service declares all queues and bindings, for which it needs every right to these names. amq.default is none of
# them: it reaches any queue.
of_events="^(erp[.](events|dead)|($(echo "$services" | tr ' ' '|'))([.]dead)?)$"

quoted() {
    printf %s "$1" | sed -z 's/[\\"]/\\&/g; s/\n/\\n/g; s/\r/\\r/g; s/\t/\\t/g'
}

# Takes the name, the variable that holds the password, and the tags in quotes. Without a password nobody gets a user.
user() {
    password= # so that shellcheck knows it
    eval "password=\${$2:?}"
    printf '{"name": "%s", "password": "%s", "tags": [%s]}' "$(quoted "$1")" "$(quoted "$password")" "$3"
}

# Takes the name, and the pattern of the names that the user may configure, write to and read from.
permission() {
    printf '{"user": "%s", "vhost": "/", "configure": "%s", "write": "%s", "read": "%s"}' "$(quoted "$1")" "$2" "$2" "$2"
}

umask 077
{
    printf '{"vhosts": [{"name": "/"}], "users": ['
    # An impersonator may send dead letters again in the name of their first sender.
    user "${ADMINISTRATOR_USER:?}" ADMINISTRATOR_PASSWORD '"administrator", "impersonator"'
    for service in $services; do
        printf ', '
        user "$service-service" "$(echo "$service" | tr '[:lower:]' '[:upper:]')_BROKER_PASSWORD" ''
    done
    printf '], "permissions": ['
    permission "$ADMINISTRATOR_USER" '.*'
    for service in $services; do
        printf ', '
        permission "$service-service" "$of_events"
    done
    printf ']}'
} >$definitions
chown rabbitmq $definitions
umask 022
echo "load_definitions = $definitions" >/etc/rabbitmq/conf.d/20-users.conf

exec docker-entrypoint.sh rabbitmq-server
