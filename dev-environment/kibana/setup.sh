#!/usr/bin/env bash
# Creates the data view of the logs, four saved searches and a dashboard in Kibana. All have fixed ids, so running it
# again only reverts manual changes to them. It runs in Elasticsearch's image, which has bash and curl.
set -euo pipefail

url=${KIBANA_URL:-http://kibana:5601}
jaeger=${JAEGER_URL:-http://localhost:16686} # as the browser reaches it
here=$(dirname "${BASH_SOURCE[0]}")

say() { echo "kibana-setup: $*"; }
die() { say "$*" >&2; exit 1; }

# TEXT, in double quotes, as curl's configuration has it.
quoted() {
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

# Where security is on: ES_USERNAME, ES_PASSWORD and ES_CA, the file of who signs for the other side. curl reads them as a
# file, so that no list of processes shows them.
login() {
    [ -z "${ES_PASSWORD:-}" ] ||
        printf 'user = %s\ncacert = %s\n' "$(quoted "$ES_USERNAME:$ES_PASSWORD")" "$(quoted "$ES_CA")"
}

# METHOD PATH [CURL OPTION…]: prints the response body; fails unless the status is a success.
ask() {
    curl -sS --config <(login) --fail-with-body --max-time 120 --retry 5 --retry-connrefused \
        -H "kbn-xsrf: true" -X "$1" "$url/$2" "${@:3}"
}
json=(-H "Content-Type: application/json" --data-binary)

ask GET api/status >/dev/null || die "$url does not answer; docker compose -f docker-compose.devops.yml logs kibana shows why"

view=$(sed "s|http://localhost:16686|$jaeger|" "$here/data-view.json")
answer=$(ask POST api/data_views/data_view "${json[@]}" "$view") || die "could not put the data view: $answer"
answer=$(ask POST api/data_views/default "${json[@]}" '{"data_view_id": "app-logs", "force": true}') \
    || die "could not make the data view the default: $answer"
say "the data view logs-* is there and the default; a trace id leads to $jaeger"

# Kibana answers 200 even when it has rejected objects.
answer=$(ask POST "api/saved_objects/_import?overwrite=true" -F "file=@$here/saved-searches.ndjson") \
    || die "could not import the saved searches: $answer"
case $answer in
    *'"success":true,"successCount":4'* | *'"successCount":4,"success":true'*) say "the four saved searches are there" ;;
    *) die "Kibana refused saved searches: $answer" ;;
esac

answer=$(ask PUT api/dashboards/app-logs "${json[@]}" "@$here/dashboard.json") || die "could not put the dashboard: $answer"
say "the dashboard Application logs is there: /app/dashboards#/view/app-logs"
