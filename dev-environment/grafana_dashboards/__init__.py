"""The dashboards of Grafana, written in Python with Grafana's own SDK; `make dashboards` turns them into JSON."""

import warnings

# The SDK prefers the newer schema, which Grafana does not read from files.
warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
