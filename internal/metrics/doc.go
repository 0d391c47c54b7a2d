// Package metrics serves what the agent measures in Prometheus' format. It alone imports Prometheus'
// library.
package metrics
