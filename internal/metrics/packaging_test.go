package metrics

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/diagnosis"
)

const (
	alertsDir  = "../../packaging/prometheus"
	alertsFile = alertsDir + "/vxlan.yml"
	testsFile  = alertsDir + "/vxlan_test.yml"
	dashboard  = "../../packaging/grafana/vxlan.json"
	page       = "../../docs/user/metrics.md"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// metricNames are the names of all metrics.
func metricNames() (names []string) {
	for _, d := range descriptions {
		names = append(names, regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(d.String())[1])
	}
	return names
}

// unknownMetrics returns the metrics that a text mentions and nobody serves.
func unknownMetrics(text string) (unknown []string) {
	for _, name := range regexp.MustCompile(`\bvxlan_[a-z_]+\b`).FindAllString(text, -1) {
		base := strings.TrimSuffix(name, "_bucket") // of a histogram
		if !slices.Contains(metricNames(), base) && !strings.HasSuffix(name, "_") {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// promtool runs Prometheus' own check.
func promtool(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("promtool is missing; Debian's package prometheus has it")
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Prometheus reads the alerts, and each does what its test says.
func TestAlertsPassTheirTests(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", filepath.Base(alertsFile)}, {"test", "rules", filepath.Base(testsFile)}} {
		if out, err := promtool(t, alertsDir, args...); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// A threshold that is moved is noticed: the tests are tests.
func TestAlertTestsCanFail(t *testing.T) {
	rules := readFile(t, alertsFile)
	changed := regexp.MustCompile(`(expr: >-\n +[^\n]*?)(>|==) ([0-9.]+)`).ReplaceAllString(rules, "$1$2 100$3")
	dir := t.TempDir()
	for name, text := range map[string]string{"vxlan.yml": changed, "vxlan_test.yml": readFile(t, testsFile)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := promtool(t, dir, "test", "rules", "vxlan_test.yml")
	alerts := alertNames(rules)
	if err == nil {
		t.Error("alerts with other thresholds pass")
	}
	for _, alert := range alerts {
		if !strings.Contains(out, "alertname: "+alert+",") {
			t.Errorf("%s: nobody notices that it never fires", alert)
		}
	}
}

func alertNames(rules string) (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(rules, -1) {
		names = append(names, m[1])
	}
	return names
}

// Each alert is of metrics that exist, has a test that it fires and one that it does not, and names a
// code that can be explained.
func TestEachAlertIsTestedAndExplained(t *testing.T) {
	rules, tests := readFile(t, alertsFile), readFile(t, testsFile)
	alerts := alertNames(rules)
	if len(alerts) < 20 {
		t.Errorf("only %d alerts were found", len(alerts))
	}
	for _, alert := range alerts {
		for _, want := range []string{"'" + alert + ": fires'", "'" + alert + ": healthy'"} {
			if !strings.Contains(tests, "- name: "+want) {
				t.Errorf("%s has no test %s", alert, want)
			}
		}
		if !strings.Contains(readFile(t, page), "`"+alert+"`") {
			t.Errorf("%s does not name %s", page, alert)
		}
	}
	for _, m := range regexp.MustCompile(`code: (\w+)\n +runbook: vxlanctl explain (\w+)\n`).FindAllStringSubmatch(rules, -1) {
		if _, known := diagnosis.Explain(m[1]); !known || m[1] != m[2] {
			t.Errorf("nobody explains code %s, or the runbook names %s", m[1], m[2])
		}
	}
	if unknown := unknownMetrics(rules); len(unknown) > 0 {
		t.Errorf("alerts are of metrics that nobody serves: %q", unknown)
	}
}

// The page has each metric, each reason, kind and result.
func TestEachMetricIsDocumented(t *testing.T) {
	text := readFile(t, page)
	for _, name := range metricNames() {
		// Receive and transmit share a row.
		if !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, "`"+strings.Replace(name, "transmit", "receive", 1)+"`, `…_transmit_…`") {
			t.Errorf("%s is not documented", name)
		}
	}
	if unknown := unknownMetrics(text); len(unknown) > 0 {
		t.Errorf("documented are metrics that nobody serves: %q", unknown)
	}
}

// Grafana reads the dashboard, and each metric that it shows exists.
func TestDashboard(t *testing.T) {
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	text := readFile(t, dashboard)
	if err := json.Unmarshal([]byte(text), &board); err != nil {
		t.Fatal(err)
	}
	if unknown := unknownMetrics(text); len(unknown) > 0 {
		t.Errorf("shown are metrics that nobody serves: %q", unknown)
	}
	taken := make(map[[2]int]string)
	for i, p := range board.Panels {
		if p.ID != i+1 || p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d: %+v", i, p)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[at] != "" || at[0] >= 24 {
					t.Errorf("panel %q is over %q, or beyond the right edge", p.Title, taken[at])
				}
				taken[at] = p.Title
			}
		}
	}
	shown := 0
	for _, name := range metricNames() {
		if strings.Contains(text, name) {
			shown++
		}
	}
	if len(board.Panels) < 15 || shown < len(descriptions)-7 {
		t.Errorf("%d panels show %d of %d metrics", len(board.Panels), shown, len(descriptions))
	}
}
