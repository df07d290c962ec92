#!/usr/bin/env bash
# Starts a node of Elasticsearch in its image: the first one alone, unless elasticsearch-2 or elasticsearch-3 has an address
# in the network (with a dot, in no other domain). The second and the third only join: they found no cluster. Once it has
# been one of three, it does not start alone before alone.sh has been there: it would wait for the others for ever.
set -euo pipefail

one_of_three=/usr/share/elasticsearch/data/one-of-three
name=$(env | sed -n 's/^node\.name=//p') # a variable with a dot is none of bash
if [ "$name" != elasticsearch ]; then
    settings=(discovery.seed_hosts=elasticsearch)
elif [ -n "$(getent hosts elasticsearch-2. elasticsearch-3.)" ]; then
    touch "$one_of_three"
    settings=(discovery.seed_hosts=elasticsearch "cluster.initial_master_nodes=elasticsearch,elasticsearch-2,elasticsearch-3")
elif [ -e "$one_of_three" ]; then
    echo "elasticsearch: the data is that of one of three nodes, which alone elects nobody: start it with the profile ha" >&2
    exit 1
else
    settings=(discovery.type=single-node)
fi
echo "elasticsearch: $name starts with ${settings[*]}"
exec env "${settings[@]}" tini -- /usr/local/bin/docker-entrypoint.sh eswrapper
