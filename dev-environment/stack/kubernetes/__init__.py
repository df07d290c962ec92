"""Kubernetes mode: the same containers in a cluster, by kubectl and kustomize."""
