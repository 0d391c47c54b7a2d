package agenttest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// startPrometheus runs Prometheus on a host, which scrapes the target each second. It returns false
// where there is none.
func startPrometheus(t *testing.T, h *lab.Host, target string) bool {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Log("the dashboard is not tried: prometheus is missing, which Debian's package of that name has")
		return false
	}
	dir := t.TempDir()
	config := fmt.Sprintf("scrape_configs:\n- job_name: vxlan\n  scrape_interval: 1s\n  static_configs:\n  - targets: [%q]\n", target)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nsenter", "--net="+h.Netns(), path, "--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+dir+"/data",
		"--web.listen-address=127.0.0.1:9090", "--log.level=error")
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus:\n%s", log.String())
		}
	})
	return true
}

// query asks a host's Prometheus, and returns the number of series that it has for an expression.
func query(t *testing.T, h *lab.Host, expr string) (series int, err error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "nsenter", "--net="+h.Netns(), "promtool", "query", "instant", "--format=json", "http://127.0.0.1:9090", expr).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", expr, err, out)
	}
	var result []json.RawMessage
	err = json.Unmarshal(out, &result)
	return len(result), err
}

// emptyWhenHealthy are panels that show nothing while nothing is wrong, or without a key.
var emptyWhenHealthy = map[string]bool{
	"Tunnels with loss": true, "Tunnels with a small MTU": true, "Dropped by the driver's firewall": true, "Keys": true,
}

// tryDashboard checks that each panel of the dashboard shows what a real agent measured.
func tryDashboard(t *testing.T, h *lab.Host) {
	t.Helper()
	text, err := os.ReadFile("../../packaging/grafana/vxlan.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		series, err := query(t, h, "rate(vxlan_wireguard_receive_bytes_total[5s])")
		if series > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("prometheus has no metrics: %v", err)
		}
	}
	variables := strings.NewReplacer("$__rate_interval", "5s", "$instance", ".*", "$network", ".*")
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			series, err := query(t, h, variables.Replace(target.Expr))
			if err != nil || series == 0 && !emptyWhenHealthy[p.Title] {
				t.Errorf("panel %q shows nothing: %s; %v", p.Title, target.Expr, err)
			}
		}
	}
}

// metricsAddress is where a host serves metrics for Prometheus on another host.
func metricsAddress(h *lab.Host) string { return h.Addr4().String() + ":7948" }

// serveMetrics makes the next agent of a host serve metrics.
func serveMetrics(t *testing.T, h *lab.Host, where string) {
	t.Helper()
	labtest.Sh(t, h, fmt.Sprintf("mkdir -p /etc/vxlan; echo 'metrics = %q' >/etc/vxlan/vxland.toml", where))
}
