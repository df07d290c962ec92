#!/usr/bin/env bash
# Starts a node of Elasticsearch in its image: the first one alone, unless elasticsearch-2 or elasticsearch-3 has an address
# in the network (with a dot, in no other domain). The second and the third only join: they found no cluster.
set -euo pipefail

name=$(env | sed -n 's/^node\.name=//p') # a variable with a dot is none of bash
if [ "$name" != elasticsearch ]; then
    settings=(discovery.seed_hosts=elasticsearch)
elif [ -n "$(getent hosts elasticsearch-2. elasticsearch-3.)" ]; then
    settings=(discovery.seed_hosts=elasticsearch "cluster.initial_master_nodes=elasticsearch,elasticsearch-2,elasticsearch-3")
else
    settings=(discovery.type=single-node)
fi
echo "elasticsearch: $name starts with ${settings[*]}"
exec env "${settings[@]}" tini -- /usr/local/bin/docker-entrypoint.sh eswrapper
