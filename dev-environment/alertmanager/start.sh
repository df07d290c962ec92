#!/bin/sh
# Fills in alertmanager.yml from the environment, with Slack if its secret holds a URL, and starts Alertmanager.
# Runs in the image's BusyBox. Its arguments are passed on to Alertmanager.
set -eu

config=/etc/alertmanager
data=/alertmanager # the only folder that the image's user can write to
slack=/run/secrets/slack_webhook_url
password=/run/secrets/smtp_password

: "${ALERT_EMAIL_TO:=operators@all-erp.example}" "${ALERT_EMAIL_FROM:=alerts@all-erp.example}"
: "${ALERT_CRITICAL_EMAIL_TO:=$ALERT_EMAIL_TO}"
: "${SMTP_SMARTHOST:=mailpit:1025}" "${SMTP_REQUIRE_TLS:=false}" "${SMTP_USERNAME:=}"
: "${GRAFANA_URL:=http://localhost:3000}"

# Alertmanager reads a secret only when it sends: an unreadable one must be noticed now.
must_be_readable() {
    [ -r "$1" ] || { echo "alertmanager: user $(id -u) cannot read the secret $1: chmod a+r its file" >&2; exit 1; }
}

# Replaces each @NAME@, which stands in single quotes, by its value, and applies the given sed commands.
fill() {
    commands=$1
    for name in ALERT_EMAIL_TO ALERT_CRITICAL_EMAIL_TO ALERT_EMAIL_FROM SMTP_SMARTHOST SMTP_REQUIRE_TLS SMTP_USERNAME GRAFANA_URL; do
        eval "value=\$$name"
        value=$(printf %s "$value" | sed "s/'/''/g; s/[&|\\\\]/\\\\&/g")
        commands="$commands;s|@$name@|$value|"
    done
    sed "$commands"
}

left_out="/^#/d"
if [ -s $slack ]; then
    must_be_readable $slack
    and_slack="and to Slack"
else
    left_out="$left_out;/# only with Slack\$/d"
    and_slack="and not to Slack"
fi
if [ -n "$SMTP_USERNAME" ]; then
    must_be_readable $password
else
    left_out="$left_out;/# only with a login\$/d"
fi

fill "$left_out" <$config/alertmanager.yml >$data/alertmanager.yml
fill "" <$config/templates/message.tmpl >$data/message.tmpl
echo "alertmanager: alerts go to $ALERT_EMAIL_TO, critical ones to $ALERT_CRITICAL_EMAIL_TO, by $SMTP_SMARTHOST $and_slack" >&2

exec alertmanager --config.file=$data/alertmanager.yml --storage.path=$data --cluster.listen-address= "$@"
