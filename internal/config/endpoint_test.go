package config

import (
	"strings"
	"testing"
)

func TestParseMetrics(t *testing.T) {
	for typed, want := range map[string]Endpoint{
		"":                                  {},
		"127.0.0.1:7948":                    {"tcp", "127.0.0.1:7948"},
		"[::1]:7948":                        {"tcp", "[::1]:7948"},
		"[fe80::1%eth0]:7948":               {"tcp", "[fe80::1%eth0]:7948"},
		"0.0.0.0:1":                         {"tcp", "0.0.0.0:1"},
		"unix:/run/vxlan/metrics.sock":      {"unix", "/run/vxlan/metrics.sock"},
		"unix:/" + strings.Repeat("a", 106): {"unix", "/" + strings.Repeat("a", 106)},
	} {
		c, err := Parse("metrics = \"" + typed + "\"")
		if err != nil || c.Metrics != want {
			t.Errorf("%q: got %+v, %v", typed, c.Metrics, err)
		}
	}
	for _, typed := range []string{
		"7948", ":7948", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "localhost:7948", "::1:7948", "224.0.0.1:7948",
		"unix:", "unix:metrics.sock", "unix:/run/", "unix:/run/../metrics.sock", "unix:@abstract", "/run/vxlan/metrics.sock",
		"tcp:127.0.0.1:7948", "unix:/" + strings.Repeat("a", 107),
	} {
		if c, err := Parse("metrics = \"" + typed + "\""); err == nil || !strings.Contains(err.Error(), "metrics \""+typed+"\": must be") {
			t.Errorf("%q: got %+v, %v", typed, c.Metrics, err)
		}
	}
	for _, text := range []string{`metrics = "127.0.0.1:7947"`, "port = 7000\nmetrics = \"[::1]:7000\"", `metrics = "127.0.0.1:7949"`} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), "has one of the agents' own ports; choose another") {
			t.Errorf("%s: got %v", text, err)
		}
	}
	if _, err := Parse("metrics = 7948"); err == nil || !strings.Contains(err.Error(), `write it as in metrics = "127.0.0.1:7948"`) {
		t.Errorf("a number: %v", err)
	}
}
