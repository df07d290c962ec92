#!/usr/bin/env bash
# Makes the first node of Elasticsearch the only one, before the others end: it takes all log lines, and asks nobody any
# more who is elected. It runs in the container of the first node; setup.sh lets others in again.
set -euo pipefail

nodes=${NODES:-elasticsearch,elasticsearch-2,elasticsearch-3}
first=${nodes%%,*} others=${nodes#*,}

ask() {
    curl -sS --fail-with-body --max-time 60 -X "$1" "http://localhost:9200/$2" \
        ${3:+-H "Content-Type: application/json" --data-binary "$3"}
}

ask PUT _cluster/settings "{\"persistent\": {\"cluster.routing.allocation.exclude._name\": \"$others\"}}" >/dev/null
for ((second = 0; ; second++)); do
    # What is not seen to be there is not there: a question that fails, a primary shard that moves or that no node has.
    shards=$(ask GET "_cat/shards?h=prirep,node") || shards="not known"
    left=$(grep -cvE "^(r.*|p +$first *)?\$" <<<"$shards" || true)
    [ "$left" -gt 0 ] || break
    [ "$second" -lt 240 ] || { echo "elasticsearch: $left shards are not on $first: $shards" >&2; exit 1; }
    sleep 1
done
ask POST "_cluster/voting_config_exclusions?node_names=$others"
rm -f /usr/share/elasticsearch/data/one-of-three
echo "elasticsearch: $first has all log lines, and $others can end"
