#!/usr/bin/env bash
# Creates the retention policy and the index templates of the logs in Elasticsearch, before the first line arrives. It can
# be run again. It runs in Elasticsearch's image, which has bash and curl.
set -euo pipefail

url=${ES_HOSTS:-http://elasticsearch:9200}
here=$(dirname "${BASH_SOURCE[0]}")

say() { echo "elasticsearch-setup: $*"; }
die() { say "$*" >&2; exit 1; }

# TEXT, in double quotes, as curl's configuration and JSON have it.
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

# METHOD PATH [FILE]: prints the response body; fails unless the status is a success.
ask() {
    curl -sS --config <(login) --fail-with-body --max-time 60 --retry 5 --retry-connrefused -X "$1" "$url/$2" \
        ${3:+-H "Content-Type: application/json" --data-binary "@$3"}
}

# PATH FILE WHAT
put() {
    local done_what=replaced answer
    ask GET "$1" >/dev/null 2>&1 || done_what=created
    answer=$(ask PUT "$1" "$2") || die "could not put the $3: $answer"
    say "$done_what the $3 ($1)"
}

ask GET "" >/dev/null || die "$url does not answer; docker compose -f docker-compose.devops.yml logs elasticsearch shows why"

# A line that arrived before the template turned its index into a data stream, which rejects all our lines.
streams=$(ask GET "_data_stream/logs-*-2*?filter_path=data_streams.name" 2>/dev/null || true)
case $streams in
    *'"name"'*) die "logs arrived before the template and became data streams: $streams
Remove these and run the set-up again: curl -X DELETE 'http://localhost:9200/_data_stream/logs-*-2*'" ;;
esac

# What alone.sh has asked for would keep nodes that start again from having a part.
ask DELETE "_cluster/voting_config_exclusions?wait_for_removal=false" >/dev/null || die "nodes stay left out"
ask PUT _cluster/settings /dev/stdin <<<'{"persistent": {"cluster.routing.allocation.exclude._name": null}}' >/dev/null ||
    die "nodes stay left out"

put _ilm/policy/app-logs "$here/ilm.json" "retention policy"
put _index_template/app-logs "$here/template.json" "index template"
put _index_template/app-logs-dead-letters "$here/dead-letters.json" "index template of the dead letters"

made=$(ask POST _index_template/_simulate_index/logs-auth-service-2026.01.31) || die "could not try the template: $made"
case $made in
    *'"lifecycle":{"name":"app-logs"'*) say "a new index such as logs-auth-service-2026.01.31 follows both" ;;
    *) die "another index template wins over ours for logs-auth-service-2026.01.31: $made" ;;
esac

# ROLE RIGHTS USERNAME PASSWORD WHAT: where security is on, a user who may do this, and nothing else. Who reads lines may
# also ask how the cluster is (`monitor`).
put_user() {
    [ -n "$4" ] || return 0
    put "_security/role/$1" /dev/stdin "role of who $5" <<<"$2"
    put "_security/user/$3" /dev/stdin "user who $5" <<<"{\"password\": $(quoted "$4"), \"roles\": [\"$1\"]}"
}
put_user log-reader '{"cluster": ["monitor"], "indices": [{"names": ["logs-*"], "privileges": ["read", "view_index_metadata"]}]}' \
    "${READER_USERNAME:-}" "${READER_PASSWORD:-}" "reads lines"
# Made last, since no line may arrive before the templates.
put_user log-writer '{"indices": [{"names": ["logs-*"], "privileges": ["auto_configure", "create_doc"]}]}' \
    "${WRITER_USERNAME:-}" "${WRITER_PASSWORD:-}" "sends lines"
