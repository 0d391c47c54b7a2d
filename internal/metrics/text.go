package metrics

import (
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"vxlan-driver/internal/agentapi"
)

// WriteText writes a report as metrics in Prometheus' text format.
func WriteText(out io.Writer, r agentapi.StatusReport) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{func() agentapi.StatusReport { return r }})
	families, err := registry.Gather()
	if err != nil {
		return fmt.Errorf("gather metrics: %w", err)
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(out, f); err != nil {
			return fmt.Errorf("write metrics: %w", err)
		}
	}
	return nil
}
