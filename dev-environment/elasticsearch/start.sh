#!/usr/bin/env bash
# Starts a node of Elasticsearch in its image. NODES has the names of all nodes, where it is one of three: the first one
# begins the cluster, the others only join, so that there can never be two. Compose says nothing: there the first node is one
# of three if elasticsearch-2 or elasticsearch-3 has an address in the network (with a dot, in no other domain). Once it has
# been one of three, it does not start alone before alone.sh has been there: it would wait for the others for ever.
set -euo pipefail

one_of_three=/usr/share/elasticsearch/data/one-of-three
name=$(env | sed -n 's/^node\.name=//p') # a variable with a dot is none of bash
if [ -z "${NODES:-}" ] && { [ "$name" != elasticsearch ] || [ -n "$(getent hosts elasticsearch-2. elasticsearch-3.)" ]; }; then
    NODES=elasticsearch,elasticsearch-2,elasticsearch-3
fi
if [ -n "${NODES:-}" ]; then
    settings=("discovery.seed_hosts=${SEED_HOSTS:-elasticsearch}")
    if [ "$name" = "${NODES%%,*}" ]; then
        touch "$one_of_three"
        settings+=("cluster.initial_master_nodes=$NODES")
    fi
elif [ -e "$one_of_three" ]; then
    echo "elasticsearch: the data is that of one of three nodes, which alone elects nobody: start it with the profile ha, PARTS=\"all ha\"" >&2
    exit 1
else
    settings=(discovery.type=single-node)
fi
echo "elasticsearch: $name starts with ${settings[*]}"
exec env "${settings[@]}" tini -- /usr/local/bin/docker-entrypoint.sh eswrapper
