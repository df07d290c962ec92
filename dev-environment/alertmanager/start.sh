#!/bin/sh
# Fills in alertmanager.yml from the environment, with Slack if its secret holds a URL, and starts Alertmanager.
# Runs in the image's BusyBox and, in local mode, in the shell of the machine. Its arguments are passed on to Alertmanager.
set -eu

# Places in the container; the image's user can write to that of the data only.
: "${CONFIG_FOLDER:=/etc/alertmanager}" "${DATA_FOLDER:=/alertmanager}" "${ALERTMANAGER:=alertmanager}"
: "${SLACK_FILE:=/run/secrets/slack_webhook_url}" "${PASSWORD_FILE:=/run/secrets/smtp_password}"
: "${ALERT_EMAIL_TO:=operators@all-erp.example}" "${ALERT_EMAIL_FROM:=alerts@all-erp.example}"
: "${ALERT_CRITICAL_EMAIL_TO:=$ALERT_EMAIL_TO}"
: "${SMTP_SMARTHOST:=mailpit:1025}" "${SMTP_REQUIRE_TLS:=false}" "${SMTP_USERNAME:=}"
: "${GRAFANA_URL:=http://localhost:3000}" "${CLUSTER_PEER:=}"

# Alertmanager reads a secret only when it sends: one that is missing or unreadable must be noticed now.
must_exist() {
    [ -e "$1" ] || { echo "alertmanager: there is no file $1 with a secret" >&2; exit 1; }
}
must_be_readable() {
    must_exist "$1"
    [ -r "$1" ] || { echo "alertmanager: user $(id -u) cannot read the secret $1: chmod a+r its file" >&2; exit 1; }
}

# Replaces each @NAME@, which stands in single quotes, by its value, and applies the given sed commands.
fill() {
    commands=$1
    for name in ALERT_EMAIL_TO ALERT_CRITICAL_EMAIL_TO ALERT_EMAIL_FROM SMTP_SMARTHOST SMTP_REQUIRE_TLS SMTP_USERNAME GRAFANA_URL DATA_FOLDER SLACK_FILE PASSWORD_FILE; do
        eval "value=\$$name"
        value=$(printf %s "$value" | sed "s/'/''/g; s/[&|\\\\]/\\\\&/g")
        commands="$commands;s|@$name@|$value|"
    done
    sed "$commands"
}

left_out="/^#/d"
must_exist "$SLACK_FILE"
if [ -s "$SLACK_FILE" ]; then
    must_be_readable "$SLACK_FILE"
    and_slack="and to Slack"
else
    left_out="$left_out;/# only with Slack\$/d"
    and_slack="and not to Slack"
fi
told="to $ALERT_EMAIL_TO, critical ones to $ALERT_CRITICAL_EMAIL_TO, by $SMTP_SMARTHOST"
if [ "$SMTP_SMARTHOST" = none ]; then
    left_out="$left_out;/^  smtp_/d;/email_configs:/,/ text:/d"
    told="to nobody by mail"
elif [ -n "$SMTP_USERNAME" ]; then
    must_be_readable "$PASSWORD_FILE"
else
    left_out="$left_out;/# only with a login\$/d"
fi

fill "$left_out" <"$CONFIG_FOLDER/alertmanager.yml" >"$DATA_FOLDER/alertmanager.yml"
fill "" <"$CONFIG_FOLDER/templates/message.tmpl" >"$DATA_FOLDER/message.tmpl"
echo "alertmanager: alerts go $told $and_slack" >&2

# Others are at the addresses of one name, where it has any. By default it would take an address of a private network only.
if [ -n "$CLUSTER_PEER" ]; then
    own=$(hostname -i | cut -d ' ' -f 1)
    set -- --cluster.listen-address=0.0.0.0:9094 --cluster.advertise-address="$own:9094" --cluster.peer="$CLUSTER_PEER" "$@"
else
    set -- --cluster.listen-address= "$@"
fi
exec "$ALERTMANAGER" --config.file="$DATA_FOLDER/alertmanager.yml" --storage.path="$DATA_FOLDER" "$@"
