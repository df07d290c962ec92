"""The dashboards of Grafana, written in Python with Grafana's own SDK; `make dashboards` turns them into JSON."""
