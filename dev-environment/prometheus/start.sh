#!/bin/sh
# Writes how many instances of which job there ought to be as rules, `job:up:stated`, and starts Prometheus with these
# arguments. INSTANCES says it by words like `budget-service=2`; of a job that it does not name, nobody knows.
set -euf

mkdir -p /prometheus/rules
{
    echo "groups: [{name: stated, rules: ["
    named=" "
    for each in ${INSTANCES:-}; do
        if ! printf '%s\n' "$each" | grep -Eqx '[a-z][a-z0-9-]*=[0-9]+'; then
            echo "prometheus: INSTANCES must be words like budget-service=2, not $each" >&2
            exit 1
        fi
        case $named in
        *" ${each%=*} "*)
            echo "prometheus: INSTANCES must name ${each%=*} once" >&2
            exit 1
            ;;
        esac
        named="$named${each%=*} "
        echo "  {record: 'job:up:stated', expr: vector(${each#*=}), labels: {job: '${each%%=*}'}},"
    done
    echo "]}]"
} >/prometheus/rules/stated.yml
exec prometheus "$@"
