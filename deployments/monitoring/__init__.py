"""How Prometheus, Alertmanager and Grafana watch the agents."""
