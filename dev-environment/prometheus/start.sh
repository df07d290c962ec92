#!/bin/sh
# Writes how many instances of which job there ought to be as rules, `job:up:stated`, and starts Prometheus with these
# arguments. INSTANCES says it by words like `budget-service=2`; of a job that it does not name, nobody knows.
set -eu

mkdir -p /prometheus/rules
{
    echo "groups: [{name: stated, rules: ["
    for each in ${INSTANCES:-}; do
        case ${each#*=} in
        '' | *[!0-9]*)
            echo "prometheus: INSTANCES must be words like budget-service=2, not $each" >&2
            exit 1
            ;;
        esac
        echo "  {record: 'job:up:stated', expr: vector(${each#*=}), labels: {job: '${each%%=*}'}},"
    done
    echo "]}]"
} >/prometheus/rules/stated.yml
exec prometheus "$@"
