package metrics

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"vxlan-driver/internal/agentapi"
)

// A scrape beside 1,000 hosts on ten networks.
func BenchmarkScrape(b *testing.B) {
	c := agentapi.ClusterStatus{Name: "192.0.2.1"}
	for i := range 1000 {
		h := agentapi.HostStatus{HostName: fmt.Sprint("h", i), RoundTrip: 1}
		for range 10 {
			h.Paths = append(h.Paths, path(1450, 1, 1))
		}
		c.Hosts = append(c.Hosts, h)
	}
	report := agentapi.StatusReport{Clusters: []agentapi.ClusterStatus{c}}
	handler := newHandler(func() agentapi.StatusReport { return report })
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		b.SetBytes(int64(w.Body.Len()))
	}
}
