package ctl

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// MetricSource has the agent's metrics.
type MetricSource interface {
	// WriteMetrics writes what the agent counts, in Prometheus' text format.
	WriteMetrics(io.Writer) error
}

func metricsCommand(host MetricSource) *cobra.Command {
	return &cobra.Command{
		Use:   "metrics",
		Short: "print the agent's metrics once, in Prometheus' text format",
		Long: `Metrics prints what the agent (vxland) counts, as it serves it to Prometheus. It works
also where no metrics are served, and suits node_exporter's textfile collector.`,
		Example: `  vxlanctl metrics
  vxlanctl metrics | grep vxlan_peer_up`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := host.WriteMetrics(cmd.OutOrStdout()); err != nil {
				return fmt.Errorf("metrics: %w", err)
			}
			return nil
		},
	}
}
